"""Objects of the volumes of one drive: made, changed, removed, and taken back if their drive could not be written."""

import logging

from directpv_common import crd
from directpv_common.crd import Object
from directpv_common.protocol.errors import DirectPVError, InvalidRequest
from directpv_common.protocol.messages import VolumeRecord, VolumeUse
from directpv_controller.core.editing.edits import volume_with_edit
from directpv_controller.registry.kubernetes.election import KubernetesLease
from directpv_controller.registry.kubernetes.keeping.group import Group, Outcome
from directpv_controller.registry.kubernetes.keeping.notice import Notice
from directpv_controller.registry.kubernetes.keeping.shelf import VOLUMES, HeldVolume, Shelf
from directpv_controller.registry.kubernetes.keeping.writer import Writer

log = logging.getLogger(__name__)


class VolumeObjects:
    """Those of one drive; only its lane writes them."""

    def __init__(self, fsuuid: str, shelf: Shelf, writer: Writer, notice: Notice) -> None:
        self._fsuuid, self._shelf, self._writer, self._notice = fsuuid, shelf, writer, notice

    async def make(self, wanted: VolumeRecord, lease: KubernetesLease) -> Outcome | bool:
        """Make a volume's object; True: made; False: not, and what has its name was not changed."""
        try:
            async with self._shelf.writing(wanted.name):
                if wanted.name in self._shelf.volumes or self._notice.use_of(wanted.name) is not None:
                    return False
                stored = await self._writer.make(VOLUMES, self._object(wanted, lease), lease)
                if stored is not None:
                    self._shelf.put(HeldVolume(wanted, crd.NOTHING, stored["metadata"]["resourceVersion"]))
                return stored is not None
        except DirectPVError as error:
            return error

    async def take_back(self, wanted: VolumeRecord, lease: KubernetesLease) -> Outcome:
        """Remove what :meth:`make` has made: nobody was told of it."""
        try:
            async with self._shelf.writing(wanted.name):
                held = self._shelf.volumes.get(wanted.name)
                if held is not None:
                    self._notice.withdrawn(wanted)
                    await self._remove(wanted.name, lease)
        except DirectPVError as error:
            return error
        return None

    async def write(self, name: str, group: Group, lease: KubernetesLease) -> Outcome:
        """Write or remove a volume's object as the group wants it."""
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

    def _object(
        self, record: VolumeRecord, lease: KubernetesLease, rest: crd.Rest = crd.NOTHING, use: VolumeUse | None = None
    ) -> Object:
        drive = self._shelf.drives.get(self._fsuuid)
        node, device = (drive.record.node, drive.record.device) if drive is not None else ("", "")
        return crd.volume_to_object(record, node=node, device=device, use=use, rest=rest, epoch=lease.epoch)

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
        use = self._notice.use_of(name)

        def build() -> tuple[Object, str]:
            held = self._shelf.volumes.get(name)
            rest, version = (held.rest, held.version) if held is not None else (crd.NOTHING, "")
            return self._object(record, lease, rest, use), version

        def reread(found: Object | None) -> None:
            nonlocal record
            theirs = self._reread(name, record, found)
            if theirs is not None:
                record = volume_with_edit(theirs[0], theirs[1], record)

        stored = await self._writer.write(VOLUMES, build, reread, lease)
        held = self._shelf.volumes.get(name)
        rest = held.rest if held is not None else crd.NOTHING
        if use is not None:
            rest = crd.volume_from_object(stored)[1]
        self._shelf.put(HeldVolume(record, rest, stored["metadata"]["resourceVersion"]))

    def _reread(self, name: str, ours: VolumeRecord, found: Object | None) -> tuple[VolumeRecord, VolumeRecord] | None:
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
