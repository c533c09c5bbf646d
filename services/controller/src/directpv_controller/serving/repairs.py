"""Repairs of drives, and the lights of their bays: passed on to the drive's node, which alone sees the disk."""

from typing import Any, Final, TypeVar

import msgspec

import directpv_common.protocol.messages as m
from directpv_common.calls.context import remaining
from directpv_common.calls.singleflight import SingleFlight
from directpv_common.protocol.api import Endpoint, Node
from directpv_common.protocol.errors import FailedPrecondition, Unavailable
from directpv_controller.core.reserving.moving import check_still
from directpv_controller.leading.term import Term
from directpv_controller.nodes.asking import ask
from directpv_controller.nodes.nodes import Nodes

R = TypeVar("R")

REPAIR_SECONDS: Final = 90.0
"""Until a node has looked at its devices and begun a repair; a disk that hangs delays that."""
LOCATE_SECONDS: Final = 25.0
"""Until an enclosure has switched a light."""


class Repairs:
    """Answers for one term of leadership; ``flights`` is shared with whatever else works on drives and volumes."""

    def __init__(self, term: Term, nodes: Nodes, flights: SingleFlight[Any]) -> None:
        self._term = term
        self._nodes = nodes
        self._flights = flights

    async def begin(self, request: m.RepairDrive) -> m.RepairStatus:
        """Let the node of a drive begin its repair, or join the one that runs.

        Raises:
            NotFound: No such drive, for the registry or for its node.
            FailedPrecondition: The drive is used, also by moves, or its node is away or does not answer; says what to
                do first.
            Busy: Operations work on the drive, or a repair with other flags.
        """
        key = f"repair {request.fsuuid} {request.id}"  # callers repeat; the node is asked once
        begun: m.RepairStatus = await self._flights.run(key, request, lambda: self._begin(request))
        return begun

    async def _begin(self, request: m.RepairDrive) -> m.RepairStatus:
        await self._nodes.reported()
        check_still(self._term.ledger.drive(request.fsuuid))
        order = m.OrderRepair(**msgspec.structs.asdict(request), fence=self._term.fence)
        try:
            return await self._ask(request.fsuuid, Node.DRIVE_REPAIR, order)
        except Unavailable as error:  # which callers repeat for as long as they can wait
            raise FailedPrecondition(error.message) from error

    async def status(self, request: m.DriveId) -> m.RepairStatus:
        """Return where the last repair of a drive stands.

        Raises:
            NotFound: No such drive, or its node has begun no repair of it since its agent started.
            FailedPrecondition: The node is away.
            Unavailable: The node does not answer.
        """
        return await self._ask(request.fsuuid, Node.DRIVE_REPAIR_STATUS, request)

    async def locate(self, request: m.LocateDrive) -> m.BayLight:
        """Let the node of a drive put the light of its bay on or out, or look at it.

        Raises:
            NotFound: No such drive, for the registry or for its node.
            FailedPrecondition: Its node is away; or no device carries it, or its bay shows no light.
            DriveFault: The enclosure does not do it.
            Unavailable: The node does not answer.
        """
        return await self._ask(request.fsuuid, Node.DRIVE_LOCATE, request, within=LOCATE_SECONDS)

    async def _ask(self, fsuuid: str, endpoint: Endpoint[Any, R], request: object, within: float = REPAIR_SECONDS) -> R:
        node = self._term.ledger.drive(fsuuid).record.node
        within = remaining(within)
        try:
            return await ask(self._term, self._nodes, endpoint, request, node=node, within=within)
        except Unavailable as error:
            raise Unavailable(
                f"node {node} of drive {fsuuid} does not answer ({error.message}); start its agent"
            ) from error
