"""One drive's writes, one group after another: what arrives while a group is written goes together in the next.

A group is one update of the drive, with all its volumes, and one write per volume, side by side. The drive's compare
and set is the fence: no volume counts before it, and those that were there before are written after it. Only objects
of volumes that were placed just now are made beside it, as to wait would make CreateVolume twice as long; if the drive
cannot be written, they are taken back. If this process dies in between, the drive shows volumes that have no object,
or does not show some that have one. The next leader puts both right: what is reserved follows from the volumes, never
from the drive; but what its leader did not reserve was promised to nobody, and goes if it does not fit any more
(:mod:`.unreserved`).
"""

import asyncio
import logging
import time
from collections.abc import Callable

from directpv_common import crd
from directpv_common.crd import Object
from directpv_common.protocol.errors import DirectPVError, Fenced, InvalidRequest
from directpv_common.protocol.messages import DriveRecord, VolumeRecord
from directpv_controller.core.editing.edits import drive_with_edit
from directpv_controller.leading.port import OutcomeUnknown
from directpv_controller.registry.kubernetes.election import KubernetesLease
from directpv_controller.registry.kubernetes.keeping.group import Entry, Group, Outcome, outcome_of
from directpv_controller.registry.kubernetes.keeping.notice import Notice
from directpv_controller.registry.kubernetes.keeping.shelf import DRIVES, HeldDrive, Shelf
from directpv_controller.registry.kubernetes.keeping.volumes import VolumeObjects
from directpv_controller.registry.kubernetes.keeping.writer import Writer

log = logging.getLogger(__name__)


class Lane:
    """The writes of one drive."""

    def __init__(
        self, fsuuid: str, shelf: Shelf, writer: Writer, notice: Notice, observe: Callable[[int, float], None]
    ) -> None:
        self._fsuuid, self._shelf, self._writer, self._notice, self._observe = fsuuid, shelf, writer, notice, observe
        self._volumes = VolumeObjects(fsuuid, shelf, writer, notice)
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
        try:
            write = self._write_gone if group.gone else self._write_all
            failure = await write(group, lease, outcomes)
        except BaseException:
            for entry in batch:
                entry.settle(OutcomeUnknown("the registry was closed"))
            raise
        for entry in batch:
            entry.settle(failure or outcome_of(entry, outcomes))
        if any(outcomes.values()):
            self._make_good(lease)

    async def _write_all(self, group: Group, lease: KubernetesLease, outcomes: dict[str, Outcome]) -> Outcome:
        """Write drive and volumes; return why the drive was not, and note what became of each volume otherwise."""
        new = self._new(group)
        making = asyncio.gather(*(self._volumes.make(record, lease) for record in new))
        failure, done = await asyncio.gather(self._try_drive(group, lease), making)
        made = dict(zip((record.name for record in new), done, strict=True))
        if failure is not None:
            return await self._taken_back(failure, [each for each in new if made[each.name] is True], made, lease)
        outcomes |= {name: None if how is True else how for name, how in made.items() if how is not False}
        await self._write_volumes(group, lease, outcomes)
        return None

    async def _taken_back(
        self, failure: DirectPVError, made: list[VolumeRecord], how: dict[str, Outcome | bool], lease: KubernetesLease
    ) -> Outcome:
        """Remove what was made beside a drive that was not written; return ``failure``, if all is as it was before."""
        left = await asyncio.gather(*(self._volumes.take_back(record, lease) for record in made))
        unclear = any(left) or any(isinstance(each, OutcomeUnknown) for each in how.values())
        if not unclear or isinstance(failure, Fenced):
            return failure
        return OutcomeUnknown(f"{failure.message}; volumes that were to be on it may be there")

    async def _write_gone(self, group: Group, lease: KubernetesLease, outcomes: dict[str, Outcome]) -> Outcome:
        """Remove a drive's object after those of its volumes."""
        await self._write_volumes(group, lease, outcomes)
        try:
            if not any(outcomes.values()):
                await self._remove_drive(lease)
        except DirectPVError as error:
            return error
        return None

    async def _write_volumes(self, group: Group, lease: KubernetesLease, outcomes: dict[str, Outcome]) -> None:
        """Write what is left of the group; ``outcomes`` has what is done."""
        wanted = {**group.puts, **group.removed, **dict.fromkeys(group.again)}
        names = [name for name in wanted if name not in outcomes]
        done = await asyncio.gather(*(self._volumes.write(name, group, lease) for name in names))
        outcomes |= dict(zip(names, done, strict=True))

    def _new(self, group: Group) -> list[VolumeRecord]:
        """Return the volumes whose objects need not wait for the drive's: it is there, and nothing of them is anywhere.

        Only they can be taken back whatever happens: there is no data that a half deleted object could stand for.
        """
        held = self._shelf.drives.get(self._fsuuid)
        if held is None or not held.version or group.drive is not None:
            return []
        return [group.puts[name] for name in group.placed & group.puts.keys() if name not in self._shelf.volumes]

    async def _try_drive(self, group: Group, lease: KubernetesLease) -> Outcome:
        try:
            await self._write_drive(group, lease)
        except DirectPVError as error:
            return error
        return None

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
