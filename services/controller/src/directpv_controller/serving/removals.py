"""Drives that people give up: recorded first, then let go of by their node, then forgotten."""

from typing import Any, Final

import msgspec

import directpv_common.protocol.messages as m
from directpv_common.calls.context import remaining
from directpv_common.calls.singleflight import SingleFlight
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition, InvalidRequest
from directpv_controller.core.reserving import retiring
from directpv_controller.leading.term import Term
from directpv_controller.nodes.nodes import Nodes

RELEASE_SECONDS: Final = 10.0
"""How long a node is waited for; after that the order waits, and is given again and again."""


class Removals:
    """Answers for one term of leadership; ``flights`` is shared with whatever else works on drives and volumes."""

    def __init__(self, term: Term, nodes: Nodes, flights: SingleFlight[Any]) -> None:
        self._term = term
        self._ledger = term.ledger
        self._nodes = nodes
        self._flights = flights

    async def remove(self, request: m.RemoveDrive) -> m.DriveRemoval:
        """Give up a drive without volumes; a repeat goes on with it, and tells how far it is.

        Raises:
            NotFound: No such drive.
            FailedPrecondition: It has volumes, or is used, or worked on; says what to do first.
            InvalidRequest: ``wipe`` is unknown.
            Unavailable: It is not known yet what is on it.
        """
        if request.wipe not in tuple(m.Wipe):
            raise InvalidRequest(f"wipe: {request.wipe} is unknown; use one of {', '.join(m.Wipe)}", field="wipe")
        key = f"drive {request.fsuuid}"
        removal: m.DriveRemoval = await self._flights.run(key, request, lambda: self._remove(request))
        return removal

    async def _remove(self, request: m.RemoveDrive) -> m.DriveRemoval:
        await self._nodes.reported()
        fsuuid = request.fsuuid
        if fsuuid not in self._ledger.drives and (past := self._ledger.past.get(fsuuid)):
            return _removal(fsuuid, past.node, m.RemovalOutcome.REMOVED, "it was removed already")
        drive = self._ledger.drive(fsuuid)
        if not retiring.is_given_up(drive):
            retiring.check_removable(drive)
        record = drive.record
        if request.dry_run:
            return _removal(fsuuid, record.node, m.RemovalOutcome.WOULD_REMOVE, _plan(request), record.device)
        change = retiring.give_up(self._ledger, drive, request.wipe)
        await self._term.commit(change)
        if change is not None:
            facts = {"node": record.node, "device": record.device, "wipe": str(request.wipe)}
            self._term.events.emit("drive", "removing", fsuuid, **facts)
        outcome, message = await self._released(fsuuid, record.node)
        removal = _removal(fsuuid, record.node, outcome, message, record.device)
        return msgspec.structs.replace(removal, online=self._nodes.online(record.node))

    async def _released(self, fsuuid: str, node: str) -> tuple[m.RemovalOutcome, str]:
        """Let the node of a drive let go of it; tell how far it is."""
        if not self._nodes.online(node):
            heard = self._nodes.worker(node).seen_at
            since = f"last heard at {heard}" if heard else "not heard since this controller leads"
            return m.RemovalOutcome.WAITING, f"node {node} is offline ({since}), and does it when it is back"
        try:
            reply = await self._nodes.worker(node).releases.release(fsuuid, remaining(RELEASE_SECONDS))
        except FailedPrecondition:
            raise
        except DirectPVError as error:
            return m.RemovalOutcome.WAITING, f"node {node} has not done it yet: {error.message}"
        return (m.RemovalOutcome.REMOVED if reply.released else m.RemovalOutcome.WAITING), reply.message


def _plan(request: m.RemoveDrive) -> str:
    if request.wipe is m.Wipe.NONE:
        return "it would be unmounted; its file system would stay"
    return f"it would be unmounted, and all of its device wiped ({request.wipe})"


def _removal(fsuuid: str, node: str, outcome: m.RemovalOutcome, message: str, device: str = "") -> m.DriveRemoval:
    return m.DriveRemoval(fsuuid=fsuuid, node=node, device=device, outcome=outcome, message=message)
