"""Drives that people give up: recorded first, then let go of by their node, then forgotten."""

import asyncio
import logging
from typing import Any, Final

import msgspec

import directpv_common.protocol.messages as m
from directpv_common.calls.context import remaining
from directpv_common.calls.singleflight import SingleFlight
from directpv_common.process.clock import now_rfc3339
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition, InvalidRequest, NotFound, Unavailable
from directpv_controller.core.placing.model import Drive
from directpv_controller.core.reserving import retiring
from directpv_controller.leading.term import Term
from directpv_controller.nodes.nodes import Nodes

log = logging.getLogger(__name__)

RESUME_PAUSE: Final = 2.0
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
        work = self._remove_lost if request.lost else self._remove
        removal: m.DriveRemoval = await self._flights.run(key, request, lambda: work(request))
        return removal

    async def remove_node(self, request: m.RemoveNode) -> m.NodeRemoval:
        """Give up all drives of a node that is gone for good, with their volumes, and forget its key.

        Raises:
            NotFound: Nothing is known of such a node.
            FailedPrecondition: Its agent is heard.
            Unavailable: It is not known yet which nodes are there.
        """
        key = f"node {request.node}"
        removal: m.NodeRemoval = await self._flights.run(key, request, lambda: self._remove_node(request))
        return removal

    async def resume(self) -> None:
        """Forget drives that were declared lost when another leader led, which could not end it; until that is done."""
        while left := [drive for drive in self._ledger.drives.values() if retiring.is_lost_for_good(drive)]:
            for drive in left:
                try:
                    await self._close_lost(drive.fsuuid)
                except DirectPVError as error:
                    log.warning("lost drive not forgotten", extra={"drive": drive.fsuuid, "error": error.message})
            await asyncio.sleep(RESUME_PAUSE)

    async def _remove(self, request: m.RemoveDrive) -> m.DriveRemoval:
        await self._nodes.reported()
        fsuuid = request.fsuuid
        if removal := self._removed_before(fsuuid):
            return removal
        drive = self._ledger.drive(fsuuid)
        if not retiring.is_given_up(drive):
            retiring.check_removable(drive)
        record = drive.record
        if request.dry_run:
            return _removal(fsuuid, record.node, m.RemovalOutcome.WOULD_REMOVE, _plan(request), record.device)
        change = retiring.give_up(self._ledger, drive, request.wipe, now_rfc3339())
        await self._term.commit(change)
        if change is not None:
            facts = {"node": record.node, "device": record.device, "wipe": str(request.wipe)}
            self._term.events.emit("drive", "removing", fsuuid, **facts)
        outcome, message = await self._released(fsuuid, record.node)
        removal = _removal(fsuuid, record.node, outcome, message, record.device)
        return msgspec.structs.replace(removal, online=self._nodes.online(record.node))

    def _removed_before(self, fsuuid: str) -> m.DriveRemoval | None:
        """Return what came of an earlier removal, as far as that is remembered; None: it is not, or there was none."""
        past = self._ledger.past.get(fsuuid) or self._ledger.retired.get(fsuuid)
        if past is None or fsuuid in self._ledger.drives:
            return None
        message = f"it was removed already, at {past.since}"
        return _removal(fsuuid, past.node, m.RemovalOutcome.REMOVED, message, past.device)

    # ---- with all that is on them

    async def _remove_lost(self, request: m.RemoveDrive) -> m.DriveRemoval:
        await self._nodes.reported()
        fsuuid = request.fsuuid
        if removal := self._removed_before(fsuuid):
            return removal
        drive = self._ledger.drives.get(fsuuid)
        if drive is None and fsuuid in self._ledger.sought:
            return await self._never_known(fsuuid, dry_run=request.dry_run)
        if drive is None:
            raise NotFound(f"drive {fsuuid} does not exist", fsuuid=fsuuid)
        retiring.check_lost(drive)
        return await self._given_up(drive, dry_run=request.dry_run)

    async def _never_known(self, fsuuid: str, *, dry_run: bool) -> m.DriveRemoval:
        """Give up a drive that only a seal speaks of: the registry is older than the move, and than the drive."""
        node, names = self._ledger.sought[fsuuid]
        outcome = m.RemovalOutcome.WOULD_REMOVE if dry_run else m.RemovalOutcome.REMOVED
        if not dry_run:
            await self._term.commit(retiring.give_up_unknown(self._ledger, fsuuid, now_rfc3339()))
        message = (
            f"{', '.join(sorted(names))}: moved to it, as far as the registry knows; served from where it was before, "
            "without what was written since"
        )
        return _removal(fsuuid, node, outcome, message)

    async def _remove_node(self, request: m.RemoveNode) -> m.NodeRemoval:
        await self._nodes.reported()
        name = request.node
        if not self._nodes.knows(name) and name in self._ledger.given_up:
            return m.NodeRemoval(node=name, since=self._ledger.given_up[name].since)
        if not self._nodes.knows(name):
            raise NotFound(f"node {name} is unknown: it has no drives, and its agent was not heard", field="node")
        self._require_away(name)
        held = self._ledger.nodes.get(name)
        drives = sorted(held.drives.values(), key=lambda drive: drive.fsuuid) if held is not None else []
        removals = []
        if not request.dry_run:  # first: whoever leads when the last drive is forgotten knows of the node
            given_up = m.GivenUpNode(name=name, since=now_rfc3339())
            await self._term.commit(retiring.note_node(self._ledger, given_up))
        for drive in drives:
            self._require_away(name)
            removals.append(await self._given_up(drive, dry_run=request.dry_run))
        key = await self._nodes.forget_key(name, dry_run=request.dry_run)
        if not request.dry_run:
            self._nodes.drop(name)
            self._term.events.emit("node", "removed", name, node=name, drives=len(removals), key=key)
        return m.NodeRemoval(node=name, drives=tuple(removals), key=key)

    def _require_away(self, node: str) -> None:
        if self._nodes.online(node):
            heard = self._nodes.worker(node).seen_at
            raise FailedPrecondition(
                f"node {node} is there: its agent was heard at {heard}. Stop the node, or its agent; or remove drives "
                f"without volumes: kubectl directpv remove --nodes {node}"
            )

    async def _given_up(self, drive: Drive, *, dry_run: bool) -> m.DriveRemoval:
        """Record that a drive goes with its volumes, and forget it."""
        record, volumes, count = drive.record, retiring.told(drive), len(drive.volumes)
        outcome = m.RemovalOutcome.WOULD_REMOVE if dry_run else m.RemovalOutcome.REMOVED
        message = "the disk is not touched; should it come back, it is not taken over"
        if not dry_run:
            await self._term.commit(retiring.give_up_lost(self._ledger, drive, now_rfc3339()))
            await self._close_lost(record.fsuuid)
        return msgspec.structs.replace(
            _removal(record.fsuuid, record.node, outcome, message, record.device),
            online=self._nodes.online(record.node),
            count=count,
            volumes=volumes,
        )

    async def _close_lost(self, fsuuid: str) -> None:
        drive = self._ledger.drives.get(fsuuid)
        if drive is None:
            return
        for name in tuple(drive.volumes):
            await self._term.idle(name)
        record, volumes = drive.record, [volume.record for volume in drive.volumes.values()]
        await self._term.commit(retiring.close_lost(self._ledger, drive, now_rfc3339()))
        for volume in volumes:
            self._term.events.emit("volume", "given-up", volume.name, **retiring.farewell(record, volume))
        facts = {"node": record.node, "device": record.device, "noted": False, "volumes": len(volumes)}
        log.warning("drive given up with its volumes", extra={"drive": fsuuid, **facts})
        self._term.events.emit("drive", "unregistered", fsuuid, **facts)

    # ---- without

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
        except Unavailable as error:
            why = f"{error.message}; an agent of an earlier version cannot, and is to be upgraded"
            return m.RemovalOutcome.WAITING, f"node {node} has not done it yet: {why}"
        except DirectPVError as error:
            return m.RemovalOutcome.WAITING, f"node {node} has not done it yet: {error.message}"
        return (m.RemovalOutcome.REMOVED if reply.released else m.RemovalOutcome.WAITING), reply.message


def _plan(request: m.RemoveDrive) -> str:
    if request.wipe is m.Wipe.NONE:
        return "it would be unmounted; its file system would stay"
    return f"it would be unmounted, and all of its device wiped ({request.wipe})"


def _removal(fsuuid: str, node: str, outcome: m.RemovalOutcome, message: str, device: str = "") -> m.DriveRemoval:
    return m.DriveRemoval(fsuuid=fsuuid, node=node, device=device, outcome=outcome, message=message)
