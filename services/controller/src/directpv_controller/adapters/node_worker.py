"""The leader's side of one node: takes in its inventories, and gives it orders. Nothing here delays a reply.

An order that fails is not kept: the drive is marked, its inventory is asked for again a little later, and the
comparison makes the order anew.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable
from itertools import islice
from typing import Final, Protocol

import msgspec

import directpv_common.messages as m
from directpv_common.api import Node
from directpv_common.errors import DeadlineExceeded, DirectPVError, Unavailable
from directpv_common.service import Unanswered
from directpv_controller.adapters.term import Term
from directpv_controller.core.model import UNKNOWN, Drive
from directpv_controller.core.reconcile import Outcome, change_of, lost, take_in

log = logging.getLogger(__name__)

ORDER_SECONDS: Final = 10.0
INVENTORY_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 5.0
"""After so long a drive with which something failed is compared again."""
BATCH: Final = 100
"""Volumes per order, and removals at once."""
DRIVES_AT_ONCE: Final = 8
"""Drives per inventory: a reply must fit into one message of the bus."""
PULL_PAUSE: Final = 0.5
"""Seconds between two inventories of a node: each of our own orders changes its drives, and need not be read back."""
MISSED_AT_MOST: Final = 2
"""Heartbeats in a row without a drive until it is lost: one may have been under way while the drive was registered."""


class Spawn(Protocol):
    """Runs work in the background of the term."""

    def __call__(self, work: Coroutine[None, None, None]) -> object:
        """Begin ``work``."""
        ...


class NodeWorker:
    """What is known of one node, and what it must be told."""

    def __init__(self, name: str, term: Term, spawn: Spawn, pulls: asyncio.Semaphore) -> None:
        self.name = name
        self.state: m.NodeState | None = None
        self.seen = 0.0
        """Monotonic time of the last heartbeat."""
        self.seen_at = ""
        self.pulling = False
        self._term = term
        self._ledger = term.ledger
        self._spawn = spawn
        self._pulls = pulls
        self._conflicts: dict[str, int] = {}
        """Drives that belong to another node, with the generation at which that was told."""
        self._retries: dict[str, float] = {}
        self._again = False
        self._pulled = 0.0
        self._ordering = False
        self._prepare: dict[str, None] = {}
        self._updates: dict[str, None] = {}
        self._removals: dict[str, m.VolumeRecord] = {}
        self._preparing: set[str] = set()
        self._prepared = asyncio.Event()
        self._prepared.set()

    # ---- what the node says

    def heard(self, state: m.NodeState, when: str) -> None:
        """Take a heartbeat; ask for what differs."""
        last = self.state
        if last is not None and last.boot == state.boot and state.sequence < last.sequence:
            return
        if last is None or last.boot != state.boot:
            self._conflicts.clear()
        else:
            state = msgspec.structs.replace(state, boot=last.boot)  # one string for all drives
        self.state, self.seen, self.seen_at = state, time.monotonic(), when
        self._look_again()
        self._notice_missing(state)
        self.pull()

    def pull(self) -> None:
        """Ask for the inventory of drives that differ, unless that is under way."""
        self._again = True
        if not self.pulling and self.state is not None:
            self.pulling = True
            self._spawn(self._pull())

    def forget(self) -> None:
        """Messages may have been lost: compare every drive again."""
        for drive in self._drives():
            drive.generation = UNKNOWN

    def _drives(self) -> Iterable[Drive]:
        node = self._ledger.nodes.get(self.name)
        return tuple(node.drives.values()) if node else ()

    def _look_again(self) -> None:
        """Mark drives with which something failed a while ago."""
        now = time.monotonic()
        for fsuuid in [fsuuid for fsuuid, due in self._retries.items() if due <= now]:
            del self._retries[fsuuid]
            drive = self._ledger.drives.get(fsuuid)
            if drive is not None:
                drive.generation = UNKNOWN

    def later(self, *fsuuids: str) -> None:
        """Compare these drives again a little later."""
        for fsuuid in fsuuids:
            self._retries.setdefault(fsuuid, time.monotonic() + RETRY_SECONDS)

    def _notice_missing(self, state: m.NodeState) -> None:
        gone = []
        for drive in self._drives():
            drive.missed = 0 if drive.fsuuid in state.drives else drive.missed + 1
            lives = drive.known and not drive.pending and drive.record.status is not m.DriveStatus.LOST
            if drive.missed >= MISSED_AT_MOST and lives:
                gone.append(lost(self._ledger, drive))
        if gone:
            self._spawn(self._apply(gone))

    def _differs(self, fsuuid: str, generation: int) -> bool:
        drive = self._ledger.drives.get(fsuuid)
        if drive is None or not drive.known:
            return True
        if drive.record.node != self.name:
            return self._conflicts.get(fsuuid) != generation
        return self.state is None or generation > drive.generation

    # ---- inventories

    async def _pull(self) -> None:
        try:
            while self._again:
                self._again = False
                if self._differing():
                    await asyncio.sleep(max(0.0, self._pulled + PULL_PAUSE - time.monotonic()))
                    self._pulled = time.monotonic()
                asked = self._differing()
                for start in range(0, len(asked), DRIVES_AT_ONCE):
                    await self._ask(tuple(asked[start : start + DRIVES_AT_ONCE]))
        except Unanswered:
            pass
        except Exception:
            log.exception("inventory not taken in", extra={"node": self.name})
        finally:
            self.pulling = False

    def _differing(self) -> list[str]:
        reported = self.state.drives if self.state is not None else {}
        return [fsuuid for fsuuid, generation in reported.items() if self._differs(fsuuid, generation)]

    async def _ask(self, fsuuids: tuple[str, ...]) -> None:
        request = m.GetInventory(drives=fsuuids)
        try:
            async with self._pulls:
                inventory = await self._term.bus.call(
                    Node.INVENTORY_GET, request, node=self.name, within=INVENTORY_SECONDS, patient=False
                )
        except DeadlineExceeded as error:
            log.warning("no inventory", extra={"node": self.name, "error": error.message})
            if len(fsuuids) > 1:
                for fsuuid in fsuuids:
                    await self._ask((fsuuid,))
            return
        except DirectPVError as error:
            log.info("no inventory", extra={"node": self.name, "error": error.message})
            return
        await self._take_in(inventory)

    async def _take_in(self, inventory: m.Inventory) -> None:
        state = self.state
        if state is None or inventory.info.name != self.name or inventory.boot != state.boot:
            log.info("inventory ignored", extra={"node": self.name, "boot": inventory.boot})
            return
        self._term.require_lead()
        outcomes = []
        for held in inventory.drives:
            outcome = take_in(self._ledger, self.name, state.boot, held)
            outcomes.append(outcome)
            drive = self._ledger.drives[held.record.fsuuid]
            if drive.record.node != self.name:
                self._conflicts[drive.fsuuid] = held.generation
            elif outcome.unsettled:
                self.later(drive.fsuuid)
        await self._apply(outcomes)

    async def _apply(self, outcomes: list[Outcome]) -> None:
        """Commit what was taken in, then tell and order."""
        change = change_of(self._ledger, outcomes)
        try:
            await self._term.commit(change)
        except Unanswered:
            return
        except DirectPVError as error:
            log.warning("not recorded; will be asked again", extra={"node": self.name, "error": error.message})
            return
        for outcome in outcomes:
            for event in outcome.events:
                log.info("reconciled", extra={"what": f"{event.noun}.{event.kind}", "id": event.subject, **event.data})
                self._term.events.emit(event.noun, event.kind, event.subject, **{"node": self.name, **event.data})
            self.order(prepare=outcome.prepare, update=outcome.update, remove=outcome.remove)

    # ---- orders

    def order(
        self,
        *,
        prepare: Iterable[m.VolumeRecord] = (),
        update: Iterable[m.DriveRecord] = (),
        remove: Iterable[m.VolumeRecord] = (),
    ) -> None:
        """Queue orders, to be given soon and in batches. What is sent is the record of that moment."""
        self._prepare.update((record.name, None) for record in prepare)
        self._updates.update((record.fsuuid, None) for record in update)
        self._removals.update((record.name, record) for record in remove)
        if not self._ordering and (self._prepare or self._updates or self._removals):
            self._ordering = True
            self._spawn(self._give_orders())

    async def _give_orders(self) -> None:
        try:
            while self._prepare or self._updates or self._removals:
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
        held = [self._ledger.volumes[name].record for name in batch if name in self._ledger.volumes]
        self.later(*{record.fsuuid for record in held if record.name in self._ledger.busy})
        records = tuple(r for r in held if not r.deleting and r.name not in self._ledger.busy)
        if not records:
            return
        self._preparing.update(record.name for record in records)
        self._prepared.clear()
        try:
            request = m.PrepareVolumes(records=records, fence=self._term.fence)
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
                self.later(record.fsuuid)
            elif volume is not None and volume.record.fsuuid == record.fsuuid:
                volume.seen = record.capacity

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
            FailedPrecondition: It is mounted.
            Unavailable: The node does not answer, or the registry did not take the removal.
            DirectPVError: Whatever else the node says.
        """
        await self._no_more_prepare(record.name, within)
        request = m.RemoveVolume(name=record.name, fsuuid=record.fsuuid, fence=self._term.fence)
        self._term.require_lead()
        reply = await self._term.bus.call(
            Node.VOLUME_REMOVE, request, node=self.name, within=within, attempt=within, patient=False
        )
        if reply.purged:
            await self._finish(record)
        else:
            self.later(record.fsuuid)
        return reply.purged

    async def _no_more_prepare(self, name: str, within: float) -> None:
        """Make sure that no order to prepare the volume arrives after the one to remove it."""
        self._prepare.pop(name, None)
        try:
            async with asyncio.timeout(within):
                while name in self._preparing:
                    await self._prepared.wait()
        except TimeoutError:
            raise Unavailable(f"node {self.name} is still preparing volume {name}") from None

    async def _finish(self, record: m.VolumeRecord) -> None:
        volume = self._ledger.volumes.get(record.name)
        if volume is None or not volume.record.deleting or volume.record.fsuuid != record.fsuuid:
            return
        self._ledger.require_idle(record.name)
        await self._term.commit(self._ledger.remove(volume))
        self._term.events.emit("volume", "deleted", record.name, node=self.name, drive=record.fsuuid)
