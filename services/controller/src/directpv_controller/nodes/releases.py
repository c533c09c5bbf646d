"""Drives of one node that are given up: orders it to let go of them, until it has, and forgets them then.

What is to be done stands in the ledger: a drive of status Removed, a drive that is retired and seen all the same. Each
heartbeat of the node gives the orders that are due: none is lost, whoever leads, and whenever the node comes back.
"""

import asyncio
import logging
import time
from typing import Final

import directpv_common.protocol.messages as m
from directpv_common.bus.service import Unanswered
from directpv_common.calls.scopes import timeout
from directpv_common.process.clock import now_rfc3339
from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import DeadlineExceeded, DirectPVError, FailedPrecondition, InvalidRequest
from directpv_controller.core.placing.model import Drive
from directpv_controller.core.reserving import retiring
from directpv_controller.leading.term import Term
from directpv_controller.nodes.orders import Spawn

log = logging.getLogger(__name__)

ORDER_SECONDS: Final = 60.0
"""A node unmounts the drive, and looks at its devices before."""
AGAIN_SECONDS: Final = 5.0
GONE_AFTER: Final = 2
"""Heartbeats in a row without a drive: nothing that was said of it before is under way any more."""
NOT_EMPTY: Final = "volumes are on it"


class Releases:
    """What one node must let go of."""

    def __init__(self, node: str, term: Term, spawn: Spawn) -> None:
        self._node, self._term, self._spawn = node, term, spawn
        self._ledger = term.ledger
        self._running: dict[str, asyncio.Event] = {}
        """Drives that the node is being asked about, and what is set when it has answered."""
        self._kept_for: dict[str, str] = {}
        """Why the node refused, last."""
        self._due: dict[str, float] = {}
        """Monotonic time from which on a drive is asked for again."""

    def heard(self, state: m.NodeState, drives: tuple[Drive, ...]) -> None:
        """Give the orders that are due; ``drives`` are those of the node."""
        for drive in drives:
            lost = retiring.is_lost_for_good(drive)  # which needs no word of its node
            if retiring.is_given_up(drive) and not (lost or drive.pending) and self._is_due(drive.fsuuid):
                self._begin(drive.fsuuid)
        for fsuuid in state.drives.keys() & self._ledger.retired.keys():
            if self._is_due(fsuuid):
                self._begin(fsuuid)
        self._note_left(state)

    def _note_left(self, state: m.NodeState) -> None:
        leaving = self._ledger.leaving
        for fsuuid in tuple(leaving):
            retired = self._ledger.past.get(fsuuid)
            if retired is not None and retired.node != self._node:
                continue
            leaving[fsuuid] = 0 if fsuuid in state.drives else leaving[fsuuid] + 1
            if leaving[fsuuid] > GONE_AFTER:
                del leaving[fsuuid]

    def _is_due(self, fsuuid: str) -> bool:
        return fsuuid not in self._running and time.monotonic() >= self._due.get(fsuuid, 0.0)

    def _begin(self, fsuuid: str) -> None:
        self._running[fsuuid] = asyncio.Event()
        self._spawn(self._insist(fsuuid))

    async def _insist(self, fsuuid: str) -> None:
        try:
            await self._order(fsuuid, ORDER_SECONDS)
        except Unanswered:
            pass
        except DirectPVError as error:
            log.info("drive not given up yet", extra={"node": self._node, "drive": fsuuid, "error": error.message})
        finally:
            self._end(fsuuid)

    def _end(self, fsuuid: str) -> None:
        self._running.pop(fsuuid).set()
        self._due[fsuuid] = time.monotonic() + AGAIN_SECONDS

    async def release(self, fsuuid: str, within: float) -> m.DriveReleased:
        """Order the node to let go of a drive; if it has, forget the drive.

        Raises:
            FailedPrecondition: The node refuses, and the drive is kept as it was; says why.
            DirectPVError: It is not known yet; the order is given again.
        """
        try:
            async with timeout(within):
                while (running := self._running.get(fsuuid)) is not None:  # a heartbeat was quicker
                    await running.wait()
        except TimeoutError:
            raise DeadlineExceeded(f"node {self._node} is still being asked to let go of it") from None
        self._running[fsuuid] = asyncio.Event()
        try:
            return await self._order(fsuuid, within)
        finally:
            self._end(fsuuid)

    async def _order(self, fsuuid: str, within: float) -> m.DriveReleased:
        self._term.require_lead()
        drive, retired = self._ledger.drives.get(fsuuid), self._ledger.retired.get(fsuuid)
        if drive is not None and not retiring.is_given_up(drive):
            raise FailedPrecondition(self._kept_for.get(fsuuid, "it is not to be given up any more"))
        if drive is not None:
            if drive.volumes:  # somebody wrote the status while nobody led
                await self._kept(drive, NOT_EMPTY)
                raise FailedPrecondition(NOT_EMPTY)
            reply = await self._asked(drive, within)
            if reply.released:
                await self._closed(fsuuid, noted=reply.noted)
            return reply
        if retired is None:
            return m.DriveReleased(released=True, noted=True)
        reply = await self._call(fsuuid, m.Wipe.NONE, within, lost=True, since=retired.since)
        if reply.released and reply.noted and self._ledger.retired.get(fsuuid) is retired:
            await self._term.commit(retiring.settle(self._ledger, retired))
        return reply

    async def _asked(self, drive: Drive, within: float) -> m.DriveReleased:
        wipe = m.Wipe(drive.record.removal or m.Wipe.NONE.value)
        try:
            return await self._call(drive.fsuuid, wipe, within, since=drive.record.removed)
        except (FailedPrecondition, InvalidRequest) as error:
            if retiring.is_given_up(drive):
                await self._kept(drive, error.message)
            raise FailedPrecondition(error.message) from error

    async def _call(
        self, fsuuid: str, wipe: m.Wipe, within: float, *, lost: bool = False, since: str = ""
    ) -> m.DriveReleased:
        request = m.ReleaseDrive(fsuuid=fsuuid, wipe=wipe, lost=lost, since=since, fence=self._term.fence)
        return await self._term.bus.call(
            Node.DRIVE_RELEASE, request, node=self._node, within=within, attempt=within, patient=False
        )

    async def _kept(self, drive: Drive, why: str) -> None:
        self._kept_for[drive.fsuuid] = why
        await self._term.commit(retiring.keep(self._ledger, drive, why, now_rfc3339()))
        facts = {"node": self._node, "why": why}
        log.warning("drive is kept", extra={"drive": drive.fsuuid, **facts})
        self._term.events.emit("drive", "remove-refused", drive.fsuuid, **facts)

    async def _closed(self, fsuuid: str, *, noted: bool) -> None:
        drive = self._ledger.drives.get(fsuuid)
        if drive is None or not retiring.is_given_up(drive) or drive.volumes:
            return
        await self._term.commit(retiring.close(self._ledger, drive, noted=noted, now=now_rfc3339()))
        facts = {"node": self._node, "device": drive.record.device, "noted": noted}
        log.info("drive forgotten", extra={"drive": fsuuid, **facts})
        self._term.events.emit("drive", "unregistered", fsuuid, **facts)
