"""Takes in what others do to volumes: labels, a larger size, a release; and volumes that appear from nowhere."""

from typing import Final

from msgspec.structs import replace

from directpv_common import crd
from directpv_common.crd import Object
from directpv_common.protocol.errors import InvalidRequest, OutOfRange
from directpv_common.protocol.messages import VolumeRecord
from directpv_controller.core.editing.edits import volume_with_edit
from directpv_controller.core.placing.model import Drive, Volume
from directpv_controller.core.reserving.ledger import is_same
from directpv_controller.leading.term import Term
from directpv_controller.nodes.nodes import Nodes
from directpv_controller.registry.kubernetes.apiserver.informer import Kind, newer
from directpv_controller.registry.kubernetes.editing.taking import Taking
from directpv_controller.registry.kubernetes.keeping.registry import KubernetesRegistry
from directpv_controller.registry.kubernetes.keeping.shelf import HeldVolume

WITHDRAWN: Final = 10_000
"""Volumes that were taken back; what is seen of them comes seconds later at most."""
_LARGER: Final = frozenset({"capacity"})
"""A larger size is taken in where there is room."""


class VolumeEdits(Taking):
    """Hears of each volume."""

    def __init__(self, registry: KubernetesRegistry, term: Term, nodes: Nodes) -> None:
        super().__init__(registry, term, nodes)
        self._withdrawn: dict[tuple[str, str], None] = {}
        """Name and incarnation, the oldest first."""

    def withdrawn(self, record: VolumeRecord) -> None:
        """See :class:`~.notice.Notice`."""
        self._withdrawn[record.name, record.incarnation] = None
        if len(self._withdrawn) > WITHDRAWN:
            del self._withdrawn[next(iter(self._withdrawn))]

    def seen(self, kind: Kind, obj: Object) -> None:
        """Take in what the informer saw, when nothing of its drive is being written."""
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
        elif not self.fenced(obj):
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
            self.nonsense("volume", name, error)
            theirs, rest = base, held.rest
            self._registry.write_again(base.fsuuid, [name])
        held.rest, held.version = rest, obj["metadata"]["resourceVersion"]
        held.record = volume_with_edit(base, theirs, base)
        self.volume_edited(base, theirs)
        if odd := crd.odd_epoch(obj):
            self.tell_odd("volume", name, odd)
        if theirs != held.record or odd:
            self._registry.write_again(base.fsuuid, [name])

    def volume_edited(self, base: VolumeRecord, theirs: VolumeRecord) -> None:
        """See :class:`~.notice.Notice`."""
        self.tell_not_taken("volume", base.name, theirs, volume_with_edit(base, theirs, base), _LARGER)
        if theirs.capacity < base.capacity:
            self.tell_refused("volume", base.name, "capacity", "a volume is never made smaller")
        changed = theirs.labels != base.labels or theirs.deleting != base.deleting
        if changed or theirs.capacity > base.capacity:
            self.run(self._take_volume(base, theirs), lambda: self._volume_again(theirs))

    def _volume_again(self, theirs: VolumeRecord) -> None:
        """As for drives; a larger size is held nowhere but in the edit itself."""
        name = theirs.name

        def now() -> None:
            held, volume = self._shelf.volumes.get(name), self._ledger.volumes.get(name)
            if held is not None and volume is not None and is_same(held.record, volume.record):
                capacity = max(theirs.capacity, volume.record.capacity)
                self.volume_edited(volume.record, replace(held.record, capacity=capacity))

        self._registry.lane(theirs.fsuuid).when_idle(f"volume {name} again", now)

    async def _take_volume(self, base: VolumeRecord, theirs: VolumeRecord) -> None:
        """Take in labels, and the release of a volume that no claim speaks for: it goes the way of any deleted one.

        Not if it is another one by now, that was made under its name while this waited.
        """
        await self._term.idle(theirs.name)
        volume = self._ledger.volumes.get(theirs.name)
        if volume is None or volume.record.fsuuid != base.fsuuid or not is_same(volume.record, base):
            return
        self._ledger.require_idle(theirs.name)
        await self._take_capacity(volume, theirs.capacity)
        record = volume_with_edit(base, theirs, volume.record)
        node, released = self._ledger.drives[record.fsuuid].record.node, record.deleting and not volume.record.deleting
        if record.labels == volume.record.labels and not released:
            return
        await self._term.commit(self._ledger.relabel(volume, record.labels, deleting=record.deleting))
        facts = {"node": node, "labels": record.labels, "by": "edit"}
        self._term.events.emit("volume", "released" if released else "changed", record.name, **facts)
        worker = self._nodes.worker(node)
        worker.order(remove=(volume.record,)) if released else worker.order(prepare=(volume.record,))

    async def _take_capacity(self, volume: Volume, capacity: int) -> None:
        """Take in a larger size: somebody may have promised it to the claim."""
        name = volume.record.name
        if capacity <= volume.record.capacity or volume.record.deleting:
            return
        try:
            change = self._ledger.resize(volume, capacity)
        except OutOfRange as error:
            self.tell_refused("volume", name, "capacity", error.message)
            return
        await self._term.commit(change)
        node = self._ledger.drives[volume.record.fsuuid].record.node
        self._term.events.emit("volume", "expanded", name, node=node, capacity=capacity, by="edit")
        self._nodes.worker(node).order(prepare=(volume.record,))

    def _volume_found(self, name: str, obj: Object) -> None:
        """Take in a volume that we did not make; one that a former leader made too late, where it cannot be, goes."""
        try:
            record, rest = crd.volume_from_object(obj)
        except InvalidRequest as error:
            self.nonsense("volume", name, error)
            return
        known, drive = self._ledger.volumes.get(name), self._ledger.drives.get(record.fsuuid)
        if known is not None or record.deleting or drive is None or (name, record.incarnation) in self._withdrawn:
            return
        late = (crd.epoch_of(obj) or self._term.fence.epoch) < self._term.fence.epoch
        removed = self._ledger.is_buried(record)
        if late and (removed or not self._fits(drive, record)):
            self.run(self._registry.withdraw(obj))
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
        self.commit(self._ledger.adopt(drive, record))
        self._registry.write_again(drive.fsuuid, [record.name])
        self._term.events.emit("volume", "adopted", record.name, drive=drive.fsuuid, capacity=record.capacity)
