"""Takes in what others do to drives and volumes: people, GitOps, upstream's plugin.

What they may decide (cordon, tier, labels, suspend, the deletion of a released volume) goes into the ledger. All else
on an object is ours: it is written again. Objects that are deleted by force are made again, since the drive still
carries what they stood for.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import msgspec

from directpv_common import crd
from directpv_common.context import detached
from directpv_common.crd import Object
from directpv_common.errors import Busy, DirectPVError, InvalidRequest, Unavailable
from directpv_common.lifecycle import background
from directpv_common.messages import DriveRecord, DriveStatus, VolumeRecord, VolumeUse
from directpv_common.service import Unanswered
from directpv_controller.core.edits import drive_with_edit, volume_with_edit
from directpv_controller.core.model import Change, Drive
from directpv_controller.leading.term import Term
from directpv_controller.nodes.nodes import Nodes
from directpv_controller.registry.kubernetes.informer import Informer, Kind, newer
from directpv_controller.registry.kubernetes.registry import KubernetesRegistry
from directpv_controller.registry.kubernetes.shelf import DRIVES, VOLUMES, HeldDrive, HeldVolume

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 1.0

NO_MOVE: Final = "move would leave the data behind; nothing was moved, and the object was put back"
REMOVE: Final = "a drive is not taken out of use by a status: it was cordoned, and the object was put back"
REMOVE_NOT: Final = "volumes are on the drive; the object was put back"


class Edits:
    """Listens for one term of leadership."""

    def __init__(self, registry: KubernetesRegistry, term: Term, nodes: Nodes) -> None:
        self._registry, self._shelf = registry, registry.shelf
        self._term, self._ledger, self._nodes = term, term.ledger, nodes
        versions = registry.shelf.versions
        volumes = {crd.object_name(name) for name in self._shelf.volumes}
        client = registry.client
        self._tasks: set[asyncio.Task[None]] = set()
        self.drives = Informer(
            client, DRIVES, self._drive, version=versions[DRIVES.name], known=set(self._shelf.drives)
        )
        self.volumes = Informer(client, VOLUMES, self._volume, version=versions[VOLUMES.name], known=volumes)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Follow drives and volumes while the block runs."""
        self._registry.notice = self
        for (noun, name), odd in self._shelf.odd.items():
            self._tell_odd(noun, name, odd)
        try:
            async with background(self.drives.run(), self.volumes.run()):
                yield
        finally:
            for task in tuple(self._tasks):
                task.cancel()

    def _run(self, work: Awaitable[None], again: Callable[[], None] | None = None) -> None:
        """Do it in the background; if it cannot be done just now, call ``again`` after a while."""
        task = asyncio.create_task(_insisted(work, again), context=detached())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _commit(self, change: Change, again: Callable[[], None] | None = None) -> None:
        """Queue the commit now, in the order of decisions, and wait for it in the background."""
        with contextlib.suppress(Unanswered):
            self._run(self._term.commit(change), again)

    # ---- drives

    def _drive(self, kind: Kind, obj: Object) -> None:
        fsuuid = obj["metadata"]["name"]
        self._registry.lane(fsuuid).when_idle("drive", lambda: self._drive_now(kind, fsuuid, obj))

    def _drive_now(self, kind: Kind, fsuuid: str, obj: Object) -> None:
        held = self._shelf.drives.get(fsuuid)
        version = obj["metadata"]["resourceVersion"]
        if held is not None and not newer(version, held.version):
            return
        if kind == "deleted":
            self._drive_gone(fsuuid, held)
        elif not self._fenced(obj):
            self._drive_changed(fsuuid, held, obj)

    def _drive_gone(self, fsuuid: str, held: HeldDrive | None) -> None:
        if held is None:
            return
        held.gone()
        self.recreated("drive", fsuuid)
        self._registry.write_again(fsuuid)

    def _drive_changed(self, fsuuid: str, held: HeldDrive | None, obj: Object) -> None:
        try:
            theirs = self._shelf.drive_from(obj)
        except InvalidRequest as error:
            self._nonsense("drive", fsuuid, error)
            if held is not None:
                held.version, held.dirty = obj["metadata"]["resourceVersion"], True
                self._registry.write_again(fsuuid)
            return
        if held is None:
            theirs.dirty = True
            self._shelf.drives[fsuuid] = theirs
            self._commit(self._ledger.register(theirs.record))
            return
        if odd := crd.odd_epoch(obj):
            self._tell_odd("drive", fsuuid, odd)
        found = theirs.record
        base = self._shelf.accept(theirs)
        self.drive_edited(base, found)
        if theirs.dirty:
            self._registry.write_again(fsuuid)

    def drive_edited(self, base: DriveRecord, theirs: DriveRecord) -> None:
        """See :class:`~.kubernetes_group.Notice`."""
        drive = self._ledger.drives.get(theirs.fsuuid)
        if drive is None or not drive.known:
            return
        record = drive_with_edit(base, theirs, drive.record)
        if theirs.status != base.status and theirs.status in (DriveStatus.REMOVED, DriveStatus.MOVING):
            record = self._asked(drive, theirs.status, record)
        if record == drive.record:
            return
        self._commit(self._ledger.set_drive(drive, record), lambda: self._drive_again(record.fsuuid))
        self._nodes.worker(record.node).order(update=(record,))
        facts = {"node": record.node, "unschedulable": record.unschedulable, "labels": record.labels}
        log.info("drive edited", extra={"drive": record.fsuuid, **facts})
        self._term.events.emit("drive", "changed", record.fsuuid, by="edit", **facts)

    def _drive_again(self, fsuuid: str) -> None:
        """An edit was not taken in: when nothing is being written, what is held differs from the ledger by it."""

        def now() -> None:
            held, drive = self._shelf.drives.get(fsuuid), self._ledger.drives.get(fsuuid)
            if held is not None and drive is not None:
                self.drive_edited(drive.record, held.record)

        self._registry.lane(fsuuid).when_idle("drive again", now)

    def _asked(self, drive: Drive, status: DriveStatus, record: DriveRecord) -> DriveRecord:
        """Upstream's plugin asks for work by writing a status: say what becomes of it."""
        empty = not drive.volumes
        remove = status is DriveStatus.REMOVED
        why = (REMOVE if empty else REMOVE_NOT) if remove else NO_MOVE
        kind = "remove-requested" if remove and empty else "edit-refused"
        facts = {"node": record.node, "status": status.value, "volumes": len(drive.volumes), "why": why}
        log.warning("status not taken over", extra={"drive": record.fsuuid, **facts})
        self._term.events.emit("drive", kind, record.fsuuid, **facts)
        return msgspec.structs.replace(record, unschedulable=True) if remove and empty else record

    # ---- volumes

    def _volume(self, kind: Kind, obj: Object) -> None:
        name = self._name_of(obj)
        held = self._shelf.volumes.get(name)
        fsuuid = held.record.fsuuid if held is not None else str((obj.get("status") or {}).get("fsuuid", ""))
        lane = self._registry.lane(fsuuid)
        lane.when_idle(f"volume {name}", lambda: self._volume_now(kind, name, obj))

    def _name_of(self, obj: Object) -> str:
        name: str = obj["metadata"]["name"]
        if "status" in obj:
            return crd.volume_name(obj)
        found = (each for each in self._shelf.volumes if crd.object_name(each) == name)
        return name if name in self._shelf.volumes else next(found, name)

    def _volume_now(self, kind: Kind, name: str, obj: Object) -> None:
        held = self._shelf.volumes.get(name)
        if held is not None and not newer(obj["metadata"]["resourceVersion"], held.version):
            return
        if kind == "deleted":
            self._ledger.unreadable.pop(("volume", name), None)  # a person's decision
            self._volume_gone(name, held)
        elif held is None:
            self._volume_found(name, obj)
        elif not self._fenced(obj):
            self._volume_changed(name, held, obj)

    def _volume_gone(self, name: str, held: HeldVolume | None) -> None:
        if held is None:
            return
        if name not in self._ledger.volumes:
            self._shelf.drop(name)
            return
        held.gone()
        self.recreated("volume", name)
        self._registry.write_again(held.record.fsuuid, [name])

    def _volume_changed(self, name: str, held: HeldVolume, obj: Object) -> None:
        base = held.record
        try:
            theirs, rest = crd.volume_from_object(obj)
        except InvalidRequest as error:
            self._nonsense("volume", name, error)
            theirs, rest = base, held.rest
            self._registry.write_again(base.fsuuid, [name])
        held.rest, held.version = rest, obj["metadata"]["resourceVersion"]
        held.record = volume_with_edit(base, theirs, base)
        self.volume_edited(base, theirs)
        if odd := crd.odd_epoch(obj):
            self._tell_odd("volume", name, odd)
        if theirs != held.record or odd:
            self._registry.write_again(base.fsuuid, [name])

    def volume_edited(self, base: VolumeRecord, theirs: VolumeRecord) -> None:
        """See :class:`~.kubernetes_group.Notice`."""
        if theirs.labels != base.labels or theirs.deleting != base.deleting:
            self._run(self._take_volume(base, theirs), lambda: self._volume_again(base.fsuuid, base.name))

    def _volume_again(self, fsuuid: str, name: str) -> None:
        """As for drives."""

        def now() -> None:
            held, volume = self._shelf.volumes.get(name), self._ledger.volumes.get(name)
            if held is not None and volume is not None:
                self.volume_edited(volume.record, held.record)

        self._registry.lane(fsuuid).when_idle(f"volume {name} again", now)

    async def _take_volume(self, base: VolumeRecord, theirs: VolumeRecord) -> None:
        """Take in labels, and the release of a volume that no claim speaks for: it goes the way of any deleted one."""
        await self._term.idle(theirs.name)
        volume = self._ledger.volumes.get(theirs.name)
        if volume is None:
            return
        self._ledger.require_idle(theirs.name)
        record = volume_with_edit(base, theirs, volume.record)
        node, released = self._ledger.drives[record.fsuuid].record.node, record.deleting and not volume.record.deleting
        if record.labels == volume.record.labels and not released:
            return
        await self._term.commit(self._ledger.relabel(volume, record.labels, deleting=record.deleting))
        facts = {"node": node, "labels": record.labels, "by": "edit"}
        self._term.events.emit("volume", "released" if released else "changed", record.name, **facts)
        worker = self._nodes.worker(node)
        worker.order(remove=(volume.record,)) if released else worker.order(prepare=(volume.record,))

    def _volume_found(self, name: str, obj: Object) -> None:
        """Take in a volume that we did not make; one that a former leader made too late, where it cannot be, goes."""
        try:
            record, rest = crd.volume_from_object(obj)
        except InvalidRequest as error:
            self._nonsense("volume", name, error)
            return
        known, drive = self._ledger.volumes.get(name), self._ledger.drives.get(record.fsuuid)
        if known is not None or record.deleting or drive is None:
            return
        late = (crd.epoch_of(obj) or self._term.fence.epoch) < self._term.fence.epoch
        removed = self._ledger.is_buried(record)
        if late and (removed or not self._fits(drive, record)):
            self._run(self._registry.withdraw(obj))
        elif not removed and self._fits(drive, record):
            self._adopt(drive, HeldVolume(record, rest, obj["metadata"]["resourceVersion"]))
        elif not removed:
            self._term.events.emit("volume", "conflict", name, drive=record.fsuuid, capacity=record.capacity)

    def _fits(self, drive: Drive, record: VolumeRecord) -> bool:
        shown = drive.known and drive.fsuuid in self._shelf.drives
        return shown and record.capacity <= drive.free and record.claim_id not in drive.claims

    def _adopt(self, drive: Drive, found: HeldVolume) -> None:
        record = found.record
        self._shelf.put(found)
        self._shelf.drives[drive.fsuuid].dirty = True
        self._commit(self._ledger.adopt(drive, record))
        self._registry.write_again(drive.fsuuid, [record.name])
        self._term.events.emit("volume", "adopted", record.name, drive=drive.fsuuid, capacity=record.capacity)

    # ---- both

    def _fenced(self, obj: Object) -> bool:
        """Tell whether somebody else leads: a later epoch wrote the object."""
        epoch = crd.epoch_of(obj)
        if epoch is None or epoch <= self._term.fence.epoch:
            return False
        self._term.resign(f"{obj['metadata']['name']} was written in epoch {epoch}")
        return True

    def _tell_odd(self, noun: str, name: str, odd: str) -> None:
        why = f"epoch {odd[:40]} is nobody's: it is ignored, and the object is written again"
        log.error("epoch ignored", extra={"object": name, "why": why})
        self._term.events.emit(noun, "epoch-ignored", name, why=why)

    def _nonsense(self, noun: str, name: str, error: InvalidRequest) -> None:
        log.error("object makes no sense", extra={"object": name, "why": error.message})
        self._term.events.emit(noun, "unreadable", name, why=error.message)

    def recreated(self, noun: str, name: str) -> None:
        """See :class:`~.kubernetes_group.Notice`."""
        log.warning("object was deleted; it is made again", extra={"what": f"{noun} {name}"})
        self._term.events.emit(noun, "recreated", name)

    def use_of(self, name: str) -> VolumeUse | None:
        """Return where a volume is mounted; None: not known."""
        volume = self._ledger.volumes.get(name)
        if volume is None or not volume.seen:
            return None
        return volume.use or VolumeUse()


async def _insisted(work: Awaitable[None], again: Callable[[], None] | None) -> None:
    try:
        await work
    except Unanswered:
        pass
    except DirectPVError as error:
        log.warning("edit not taken in", extra={"error": error.message, "again": again is not None})
        if again is not None and isinstance(error, Busy | Unavailable):
            await asyncio.sleep(AGAIN_SECONDS)
            again()
