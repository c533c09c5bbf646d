"""One drive's writes, one group after another: what arrives while a group is written goes together in the next.

A group is one update of the drive, with all its volumes, and then one write per volume, side by side. The drive comes
first: its compare and set is the fence. If this process dies in between, the drive shows volumes that have no object,
or no longer shows some that have one. Both are put right by the next leader: what is reserved follows from the
volumes, never from the drive.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from directpv_common import crd
from directpv_common.crd import Object
from directpv_common.protocol.errors import DirectPVError, InvalidRequest
from directpv_common.protocol.messages import DriveRecord, VolumeRecord
from directpv_controller.core.editing.edits import drive_with_edit, volume_with_edit
from directpv_controller.leading.port import OutcomeUnknown
from directpv_controller.registry.kubernetes.election import KubernetesLease
from directpv_controller.registry.kubernetes.keeping.group import Entry, Group, Notice, Outcome, outcome_of
from directpv_controller.registry.kubernetes.keeping.shelf import DRIVES, VOLUMES, HeldDrive, HeldVolume, Shelf
from directpv_controller.registry.kubernetes.keeping.writer import Writer

log = logging.getLogger(__name__)


class Lane:
    """The writes of one drive."""

    def __init__(
        self, fsuuid: str, shelf: Shelf, writer: Writer, notice: Notice, observe: Callable[[int, float], None]
    ) -> None:
        self._fsuuid, self._shelf, self._writer, self._notice, self._observe = fsuuid, shelf, writer, notice, observe
        self._waiting: list[Entry] = []
        self._stashed: dict[str, Callable[[], None]] = {}
        self.busy = False

    def add(self, entry: Entry) -> None:
        """Queue; the caller sees to it that :meth:`run` runs."""
        self._waiting.append(entry)

    def when_idle(self, key: str, action: Callable[[], None]) -> None:
        """Do ``action`` when nothing is being written, at once if that is so; a later one of ``key`` replaces it."""
        if self.busy:
            self._stashed[key] = action
        else:
            action()

    async def run(self) -> None:
        """Write until nothing waits."""
        try:
            while self._waiting or self._stashed:
                batch, self._waiting = self._waiting, []
                if batch:
                    begun = time.perf_counter()
                    await self._write(batch)
                    self._observe(len(batch), time.perf_counter() - begun)
                stashed, self._stashed = self._stashed, {}
                for key, action in stashed.items():
                    try:
                        action()
                    except Exception:
                        log.exception("event not taken in", extra={"drive": self._fsuuid, "object": key})
        finally:
            self.busy = False
            for entry in self._waiting:
                entry.settle(OutcomeUnknown("the registry was closed"))

    async def _write(self, batch: list[Entry]) -> None:
        lease = batch[-1].lease
        group = Group(batch)
        outcomes: dict[str, Outcome] = {}
        failure: Outcome = None
        try:
            if not group.gone:
                await self._write_drive(group, lease)
            names = [*{**group.puts, **group.removed, **dict.fromkeys(group.again)}]
            done = await asyncio.gather(*(self._write_volume(name, group, lease) for name in names))
            outcomes = dict(zip(names, done, strict=True))
            if group.gone and not any(outcomes.values()):
                await self._remove_drive(lease)
        except DirectPVError as error:
            failure = error
        except BaseException:
            for entry in batch:
                entry.settle(OutcomeUnknown("the registry was closed"))
            raise
        for entry in batch:
            entry.settle(failure or outcome_of(entry, outcomes))
        if any(outcomes.values()):
            self._make_good(lease)

    def _make_good(self, lease: KubernetesLease) -> None:
        """A volume was refused after its space was reserved: give the space back."""
        held = self._shelf.drives.get(self._fsuuid)
        if held is not None:
            held.dirty = True
            self.add(Entry(lease, asyncio.get_running_loop().create_future()))

    # ---- the drive

    async def _write_drive(self, group: Group, lease: KubernetesLease) -> None:
        held = self._shelf.drives.get(self._fsuuid)
        wanted = group.drive or (held.record if held is not None else None)
        if wanted is None:
            return  # volumes of a drive that the registry does not have
        volumes = self._shelf.volumes_of(self._fsuuid)
        same = held is not None and bool(held.version) and not held.dirty and wanted == held.record
        if same and not group.reserves_otherwise(volumes):
            return
        record, reserved = wanted, group.reserved(volumes)

        def build() -> tuple[Object, str]:
            held = self._shelf.drives.get(self._fsuuid)
            rest, version = (held.rest, held.version) if held is not None else (crd.NOTHING, "")
            return crd.drive_to_object(record, reserved, rest=rest, epoch=lease.epoch), version

        def reread(found: Object | None) -> None:
            nonlocal record
            theirs = self._reread_drive(found, record)
            if theirs is not None:
                record = drive_with_edit(theirs[0], theirs[1], record)

        if held is not None and held.record.node != record.node:  # its volumes' labels name the node, too
            group.again |= self._shelf.volumes_of(self._fsuuid).keys()
        stored = await self._writer.write(DRIVES, build, reread, lease)
        held = self._shelf.drives.get(self._fsuuid)
        rest = held.rest if held is not None else crd.NOTHING
        self._shelf.drives[self._fsuuid] = HeldDrive(record, rest, stored["metadata"]["resourceVersion"])

    async def _remove_drive(self, lease: KubernetesLease) -> None:
        held = self._shelf.drives.get(self._fsuuid)
        if held is not None and held.version:
            await self._writer.remove(DRIVES, self._fsuuid, held.version, list(held.rest.finalizers), lease)
        self._shelf.drives.pop(self._fsuuid, None)

    def _reread_drive(self, found: Object | None, ours: DriveRecord) -> tuple[DriveRecord, DriveRecord] | None:
        """Take in what is there; return the record that we knew and the one that is there, if both are known."""
        held = self._shelf.drives.get(self._fsuuid)
        if found is None:
            if held is not None:
                held.gone()
                self._notice.recreated("drive", self._fsuuid)
            return None
        try:
            theirs = self._shelf.drive_from(found)
        except InvalidRequest as error:
            log.error("drive's object makes no sense; it is written again", extra={"why": error.message})
            record, rest = (held.record, held.rest) if held is not None else (ours, crd.NOTHING)
            self._shelf.drives[self._fsuuid] = HeldDrive(record, rest, found["metadata"]["resourceVersion"], dirty=True)
            return None
        found_record = theirs.record
        base = self._shelf.accept(theirs)
        theirs.dirty = True
        if found_record != base:
            self._notice.drive_edited(base, found_record)
        return base, found_record

    # ---- volumes

    async def _write_volume(self, name: str, group: Group, lease: KubernetesLease) -> Outcome:
        try:
            async with self._shelf.writing(name):
                if name in group.removed:
                    await self._remove(name, lease)
                elif (wanted := group.puts.get(name) or self._own(name)) is not None:
                    await self._put(wanted, lease, again=name in group.again)
        except DirectPVError as error:
            return error
        return None

    def _own(self, name: str) -> VolumeRecord | None:
        """Return the volume as it is held; None if it is another drive's by now, whose lane writes it."""
        held = self._shelf.volumes.get(name)
        return held.record if held is not None and held.record.fsuuid == self._fsuuid else None

    async def _remove(self, name: str, lease: KubernetesLease) -> None:
        held = self._shelf.volumes.get(name)
        if held is not None and held.version:
            left = list(held.rest.finalizers)
            await self._writer.remove(VOLUMES, crd.object_name(name), held.version, left, lease)
        self._shelf.drop(name)

    async def _put(self, wanted: VolumeRecord, lease: KubernetesLease, *, again: bool) -> None:
        name, held = wanted.name, self._shelf.volumes.get(wanted.name)
        if held is not None and held.version and held.record == wanted and not again:
            return
        record = wanted
        drive = self._shelf.drives.get(self._fsuuid)
        node, device = (drive.record.node, drive.record.device) if drive is not None else ("", "")
        use = self._notice.use_of(name)

        def build() -> tuple[Object, str]:
            held = self._shelf.volumes.get(name)
            rest, version = (held.rest, held.version) if held is not None else (crd.NOTHING, "")
            obj = crd.volume_to_object(record, node=node, device=device, use=use, rest=rest, epoch=lease.epoch)
            return obj, version

        def reread(found: Object | None) -> None:
            nonlocal record
            theirs = self._reread_volume(name, record, found)
            if theirs is not None:
                record = volume_with_edit(theirs[0], theirs[1], record)

        stored = await self._writer.write(VOLUMES, build, reread, lease)
        held = self._shelf.volumes.get(name)
        rest = held.rest if held is not None else crd.NOTHING
        if use is not None:
            rest = crd.volume_from_object(stored)[1]
        self._shelf.put(HeldVolume(record, rest, stored["metadata"]["resourceVersion"]))

    def _reread_volume(
        self, name: str, ours: VolumeRecord, found: Object | None
    ) -> tuple[VolumeRecord, VolumeRecord] | None:
        """Take in what is there; return the record that we knew and the one that is there, if both are known."""
        held = self._shelf.volumes.get(name)
        if found is None:
            if held is not None:
                held.gone()
                self._notice.recreated("volume", name)
            return None
        version = found["metadata"]["resourceVersion"]
        try:
            theirs, rest = crd.volume_from_object(found)
        except InvalidRequest as error:
            log.error("volume's object makes no sense; it is written again", extra={"why": error.message})
            theirs, rest = ours, crd.NOTHING
        if held is None:
            self._shelf.put(HeldVolume(theirs, rest, version))
            return None
        base = held.record
        held.rest, held.version, held.record = rest, version, volume_with_edit(base, theirs, base)
        if theirs != base:
            self._notice.volume_edited(base, theirs)
        return base, theirs
