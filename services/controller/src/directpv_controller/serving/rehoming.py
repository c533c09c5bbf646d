"""Disks that were moved to another node: the registry follows, then the node takes the drive in."""

from typing import Any, Final

import directpv_common.protocol.messages as m
from directpv_common.calls.context import remaining
from directpv_common.calls.singleflight import SingleFlight
from directpv_common.process.clock import now_rfc3339
from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import FailedPrecondition, NotFound, Unavailable
from directpv_controller.core.placing.model import Drive
from directpv_controller.core.reserving.rehoming import objection, welcomed
from directpv_controller.core.reserving.retiring import is_given_up
from directpv_controller.leading.term import Term
from directpv_controller.nodes.asking import require_online
from directpv_controller.nodes.nodes import Nodes

ADOPT_SECONDS: Final = 60.0
"""At most: the log of a disk may have to be replayed. Who repeats after that joins what the node is still doing."""


class Rehoming:
    """Answers for one term of leadership; ``flights`` is shared with whatever else works on drives and volumes."""

    def __init__(self, term: Term, nodes: Nodes, flights: SingleFlight[Any]) -> None:
        self._term = term
        self._ledger = term.ledger
        self._nodes = nodes
        self._flights = flights

    async def move(self, request: m.MoveDrive) -> m.DriveRecord:
        """Let a drive be that of the node in which its disk is now; one that is already, is.

        The registry comes first: a drive that says that it is a node's, and is registered as another one's, would be
        told as a conflict until somebody looks; one that is registered and does not say so yet is only lost.

        Raises:
            NotFound: The node is not known, or no device of it carries the drive.
            FailedPrecondition: The node that had it has it still, or may have; the new one is away, or cannot use it.
        """
        moved: m.DriveRecord = await self._flights.run(f"drive {request.fsuuid}", request, lambda: self._move(request))
        return moved

    async def _move(self, request: m.MoveDrive) -> m.DriveRecord:
        await self._nodes.reported()
        if not self._nodes.knows(request.node):
            raise NotFound(f"node {request.node} is unknown: its agent was never heard", field="node")
        require_online(self._nodes, request.node)
        drive = self._ledger.drives.get(request.fsuuid)
        if drive is not None and is_given_up(drive):
            raise FailedPrecondition(
                f"drive {request.fsuuid} is being removed; wait for that (`kubectl directpv remove` of it), then repeat"
            )
        if drive is not None and drive.known and drive.record.node != request.node:
            await self._rehome(drive, request)
        retired = self._ledger.retired.get(request.fsuuid)
        if retired is not None and not request.given_up:
            raise FailedPrecondition(f"it was removed at {retired.since}; name the drive to bring it back")
        await self._term.commit(welcomed(self._ledger, request.fsuuid))
        order = m.AdoptDrive(fsuuid=request.fsuuid, from_node=request.from_node, fence=self._term.fence)
        self._term.require_lead()
        within = remaining(ADOPT_SECONDS)
        try:  # asked again when no answer comes, as of an agent that was killed: repeats join, or find it done
            return await self._term.bus.call(Node.DRIVE_ADOPT, order, node=request.node, within=within, patient=False)
        except Unavailable as error:
            raise FailedPrecondition(
                f"node {request.node} does not answer ({error.message}); start its agent, or upgrade it, then repeat"
            ) from error

    async def _rehome(self, drive: Drive, request: m.MoveDrive) -> None:
        before = drive.record.node
        why = objection(drive.record, request.node, online=self._nodes.online(before), dangerous=request.dangerous)
        if why:
            raise FailedPrecondition(why)
        await self._term.commit(self._ledger.rehome(drive, request.node, now_rfc3339()))
        facts = {"node": request.node, "was": before}
        self._term.events.emit("drive", "moved", drive.fsuuid, **facts)
