"""Orders to one node: volumes to make, drives to update, volumes to destroy. Nothing here delays a reply.

An order that fails is not kept: the drive is marked, its inventory is asked for again a little later, and the
comparison makes the order anew.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable
from itertools import islice
from typing import Final, Protocol

import directpv_common.protocol.messages as m
from directpv_common.bus.service import Unanswered
from directpv_common.calls.context import handed_on
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import DirectPVError, Unavailable
from directpv_controller.core.reserving.ledger import is_same
from directpv_controller.leading.term import Term

log = logging.getLogger(__name__)

ORDER_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 5.0
"""After so long a drive with which something failed is compared again."""
LINGER_SECONDS: Final = 0.005
"""Orders of so short a time go together: a burst of volumes is one message per node, and one fsync on each drive."""
TRACES: Final = 1_000
"""Volumes of one node whose traces are remembered."""
BATCH: Final = 100
"""Volumes per order, and removals at once."""


class Spawn(Protocol):
    """Runs work in the background of the term."""

    def __call__(self, work: Coroutine[None, None, None]) -> object:
        """Begin ``work``."""
        ...


class NodeOrders:
    """What one node must be told."""

    def __init__(self, name: str, term: Term, spawn: Spawn) -> None:
        self.name = name
        self._term = term
        self._ledger = term.ledger
        self._spawn = spawn
        self._retries: dict[str, float] = {}
        """Drives to compare again, with the monotonic time from which on."""
        self._ordering = False
        self._prepare: dict[str, None] = {}
        self._traces: dict[str, str] = {}
        """By volume, the trace of who wanted it, until it is made; nothing if nobody records traces."""
        self._updates: dict[str, None] = {}
        self._removals: dict[str, m.VolumeRecord] = {}
        self._preparing: set[str] = set()
        self._prepared = asyncio.Event()
        self._prepared.set()

    @property
    def silent(self) -> bool:
        """Whether the node is not heard: what it lacks is found when it is, by comparing its inventory."""
        raise NotImplementedError

    def later(self, *fsuuids: str) -> None:
        """Compare these drives again a little later."""
        for fsuuid in fsuuids:
            self._retries.setdefault(fsuuid, time.monotonic() + RETRY_SECONDS)

    def order(
        self,
        *,
        prepare: Iterable[m.VolumeRecord] = (),
        update: Iterable[m.DriveRecord] = (),
        remove: Iterable[m.VolumeRecord] = (),
    ) -> None:
        """Queue orders, to be given soon and in batches. What is sent is the record of that moment."""
        prepare = tuple(prepare)
        if trace := handed_on():
            self._traces.update((record.name, trace) for record in prepare)
        while len(self._traces) > TRACES:
            del self._traces[next(iter(self._traces))]
        if self.silent:
            self.later(*(record.fsuuid for record in prepare))
        else:
            self._prepare.update((record.name, None) for record in prepare)
        self._updates.update((record.fsuuid, None) for record in update)
        self._removals.update((record.name, record) for record in remove)
        if not self._ordering and (self._prepare or self._updates or self._removals):
            self._ordering = True
            self._spawn(self._give_orders())

    async def _give_orders(self) -> None:
        try:
            while self._prepare or self._updates or self._removals:
                await asyncio.sleep(LINGER_SECONDS)
                self._term.require_lead()
                await self._give_prepare()
                await self._give_updates()
                await self._give_removals()
        except Unanswered:
            pass
        except Exception:
            log.exception("orders not given", extra={"node": self.name})
        finally:
            self._ordering = False

    async def _give_prepare(self) -> None:
        batch = list(islice(self._prepare, BATCH))
        for name in batch:
            del self._prepare[name]
        volumes = [self._ledger.volumes[name] for name in batch if name in self._ledger.volumes]
        for volume in volumes:
            volume.refused = ""
        held = [volume.record for volume in volumes]
        self.later(*{record.fsuuid for record in held if record.name in self._ledger.busy})
        records = tuple(r for r in held if not r.deleting and r.name not in self._ledger.busy)
        if self.silent:
            self.later(*{record.fsuuid for record in records})
            return
        if not records:
            return
        self._preparing.update(record.name for record in records)
        self._prepared.clear()
        try:
            traces = {record.name: self._traces[record.name] for record in records if record.name in self._traces}
            request = m.PrepareVolumes(records=records, fence=self._term.fence, traces=traces)
            reply = await self._term.bus.call(
                Node.VOLUME_PREPARE, request, node=self.name, within=ORDER_SECONDS, patient=False
            )
        except DirectPVError as error:
            log.info("volumes not prepared", extra={"node": self.name, "count": len(records), "error": error.message})
            self.later(*{record.fsuuid for record in records})
        else:
            self._note_prepared(records, reply)
        finally:
            self._preparing.clear()
            self._prepared.set()

    def _note_prepared(self, records: tuple[m.VolumeRecord, ...], reply: m.Prepared) -> None:
        for record in records:
            reason = reply.failed.get(record.name)
            volume = self._ledger.volumes.get(record.name)
            if reason is not None:
                log.warning("volume not prepared", extra={"node": self.name, "volume": record.name, "error": reason})
                if volume is not None:
                    volume.refused = reason
                self.later(record.fsuuid)
                continue
            self._traces.pop(record.name, None)
            if volume is not None and volume.record.fsuuid == record.fsuuid:
                volume.seen, volume.refused = record.capacity, ""

    async def _give_updates(self) -> None:
        for fsuuid in list(self._updates):
            del self._updates[fsuuid]
            drive = self._ledger.drives.get(fsuuid)
            if drive is None or not drive.known:
                continue
            request = m.UpdateDrive(record=drive.record, fence=self._term.fence)
            try:
                await self._term.bus.call(
                    Node.DRIVE_UPDATE, request, node=self.name, within=ORDER_SECONDS, patient=False
                )
            except DirectPVError as error:
                log.info("drive not updated", extra={"node": self.name, "drive": fsuuid, "error": error.message})
                self.later(fsuuid)

    async def _give_removals(self) -> None:
        batch = list(islice(self._removals, BATCH))
        records = [self._removals.pop(name) for name in batch]
        await asyncio.gather(*(self._remove(record) for record in records))

    async def _remove(self, record: m.VolumeRecord) -> None:
        """Remove a volume, if that is still wanted: the order may have waited while it was made anew."""
        if not self._ledger.may_destroy(record):
            log.info("removal dropped: the volume is another one now", extra={"volume": record.name})
            return
        try:
            await self.purge(record, within=ORDER_SECONDS)
        except Unanswered:
            return
        except DirectPVError as error:
            log.info("volume not removed yet", extra={"volume": record.name, "error": error.message})
            self.later(record.fsuuid)

    async def purge(self, record: m.VolumeRecord, *, within: float) -> bool:
        """Order the node to destroy a volume whose deletion is recorded; if its data is gone, free the space.

        Returns:
            Whether the data is gone. If not, the node is at it, and the space stays reserved meanwhile.

        Raises:
            FailedPrecondition: It is mounted; nothing was destroyed.
            DeadlineExceeded: The node may be destroying it.
            Unavailable: The node was not reached; nothing was destroyed.
            DirectPVError: Whatever else the node says.
        """
        await self._no_more_prepare(record.name, within)
        self._term.require_lead()
        if not self._ledger.may_destroy(record):
            raise Unavailable(f"volume {record.name} is not to be destroyed any more")
        request = m.RemoveVolume(
            name=record.name, fsuuid=record.fsuuid, incarnation=record.incarnation, fence=self._term.fence
        )
        reply = await self._term.bus.call(
            Node.VOLUME_REMOVE, request, node=self.name, within=within, attempt=within, patient=False
        )
        if reply.purged:
            await self._finish(record)
        else:
            self.later(record.fsuuid)
        return reply.purged

    async def unseal(self, record: m.VolumeRecord, move: str, target: str) -> None:
        """Let a drive serve its volume again, which it keeps sealed for a move that the registry does not know."""
        request = m.CopyVolume(record=record, target=target, id=move, cancel=True, fence=self._term.fence)
        try:
            self._term.require_lead()
            await self._term.bus.call(
                Node.VOLUME_COPY, request, node=self.name, within=ORDER_SECONDS, attempt=ORDER_SECONDS, patient=False
            )
        except Unanswered:
            return
        except DirectPVError as error:
            log.info("volume not unsealed yet", extra={"volume": record.name, "error": error.message})
        self.later(record.fsuuid)

    async def remove_left(self, record: m.VolumeRecord, move: str, fsuuid: str) -> None:
        """Have the data removed that a move has left on a drive; its node makes sure that the volume is where it is."""
        request = m.RemoveVolume(
            name=record.name,
            fsuuid=fsuuid,
            incarnation=record.incarnation,
            move=move,
            moved_to=record.fsuuid,
            fence=self._term.fence,
        )
        try:
            self._term.require_lead()
            await self._term.bus.call(
                Node.VOLUME_REMOVE, request, node=self.name, within=ORDER_SECONDS, attempt=ORDER_SECONDS, patient=False
            )
        except Unanswered:
            return
        except DirectPVError as error:
            log.info("former data not removed yet", extra={"volume": record.name, "error": error.message})
        self.later(fsuuid)

    async def _no_more_prepare(self, name: str, within: float) -> None:
        """Make sure that no order to prepare the volume arrives after the one to remove it."""
        self._prepare.pop(name, None)
        try:
            async with timeout(within):
                while name in self._preparing:
                    await self._prepared.wait()
        except TimeoutError:
            raise Unavailable(f"node {self.name} is still preparing volume {name}") from None

    async def _finish(self, record: m.VolumeRecord) -> None:
        volume = self._ledger.volumes.get(record.name)
        same = volume is not None and volume.record.fsuuid == record.fsuuid and is_same(volume.record, record)
        if volume is None or not same or not volume.record.deleting:
            return
        volume.destroyed = True
        try:
            self._ledger.require_idle(record.name)
            await self._term.commit(self._ledger.remove(volume))
        except DirectPVError as error:
            log.warning(
                "volume destroyed, and not forgotten yet", extra={"volume": record.name, "error": error.message}
            )
            self.later(record.fsuuid)
            return
        self._term.events.emit("volume", "deleted", record.name, node=self.name, drive=record.fsuuid)
