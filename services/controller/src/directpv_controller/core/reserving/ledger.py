"""Every drive, volume and node of the installation, and what is reserved where.

Decide, then do: a method changes memory at once and returns the :class:`Change` that the registry must commit; the
caller awaits the commit and calls ``done`` or ``undo``. Commits happen in the order of the decisions. While a change
of a volume is not committed, its name is busy and nobody else may decide about it.
"""

from typing import Any

import msgspec

from directpv_common.crd.persistent_volumes import Seen
from directpv_common.protocol import names
from directpv_common.protocol.errors import Busy, Conflict, NoCapacity, NotFound, OutOfRange, Unavailable
from directpv_common.protocol.messages import ChangeVolume, ExpandVolume, VolumeRecord
from directpv_common.protocol.units import format_bytes
from directpv_controller.core.placing.explain import explain
from directpv_controller.core.placing.model import (
    UNKNOWN,
    Change,
    Drive,
    Snapshot,
    Unreadable,
    Volume,
    Writes,
)
from directpv_controller.core.placing.placement import Chance
from directpv_controller.core.placing.reach import Reach
from directpv_controller.core.placing.wanted import Need, Wanted, check_sizes
from directpv_controller.core.reserving import invariants, labels, unsettled
from directpv_controller.core.reserving.past import PastBooks

replace = msgspec.structs.replace


class Ledger(PastBooks):
    """The leader's memory. ``chance`` returns random numbers in [0, 1) and settles ties."""

    # ---- loading

    @classmethod
    def load(cls, snapshot: Snapshot, chance: Chance) -> "Ledger":
        """Build the memory from what a registry holds.

        A volume whose drive is missing from the registry is kept on a placeholder drive (``known`` False, status
        Lost), which the drive replaces when its node reports it.
        """
        ledger = cls(chance)
        for record in snapshot.drives:
            ledger.enter(record)
        uses = snapshot.uses.get
        for volume in snapshot.volumes:
            drive = ledger.drives.get(volume.fsuuid) or ledger.enter_placeholder(volume.fsuuid)
            ledger.attach(drive, Volume(volume, uses(volume.name)))
            if volume.moving is not None:
                ledger.moves.add(volume.name)
        unsettled.load(ledger)
        ledger.volume_names.update(ledger.volumes)
        ledger.retired = {each.fsuuid: each for each in snapshot.retired if each.fsuuid not in ledger.drives}
        ledger.given_up = {each.name: each for each in snapshot.nodes}
        for each in snapshot.unreadable:
            ledger.unreadable[each.noun, each.name] = each.why
        for drive in ledger.drives.values():
            ledger.sum_up(drive, drive.allocated - drive.record.overhead, len(drive.volumes))
            ledger.index.changed(drive)
        for each in snapshot.unreadable:
            ledger._keep_room(each)
        ledger.index.capacity(Need())  # the view that most placements use
        return ledger

    def _keep_room(self, unreadable: Unreadable) -> None:
        """Place nothing where a volume is whose record cannot be read; its drive's inventory puts this right."""
        drive = self.drives.get(unreadable.fsuuid)
        if drive is not None and unreadable.capacity > 0:
            self.set_strays(drive, drive.strays + unreadable.capacity)

    # ---- volumes

    def require_readable(self, name: str) -> None:
        """Refuse while nothing is known of a volume but that the registry has it: its node will tell.

        Raises:
            Unavailable: Repeat when the volume's node was heard, or the record was mended.
        """
        why = self.unreadable.get(("volume", name))
        if why is not None:
            raise Unavailable(
                f"volume {name}: its record in the registry cannot be read ({why}), and no node has reported it yet; "
                "start the agent of its node",
                name=name,
            )

    def require_read(self, name: str) -> None:
        """Refuse to say that there is no volume while a drive may have it of which the registry has never heard that.

        Raises:
            Unavailable: Names the drive; repeat when it can be read, or is removed.
        """
        fsuuid = next(iter(self.unread), "")
        if fsuuid:
            unread = self.drives[fsuuid].record
            raise Unavailable(
                f"volume {name} is not known, and may be on drive {unread.fsuuid} ({unread.device or 'no device'}) of "
                f"node {unread.node}, whose volumes this registry has not learnt, for it cannot be read; repair it",
                name=name,
            )

    def volume(self, name: str) -> Volume:
        """Return a volume that is not being deleted.

        Raises:
            NotFound: There is none of this name.
            Unavailable: There is one, and nothing is known of it.
        """
        volume = self.volumes.get(name)
        if volume is None:
            self.require_readable(name)
        if volume is None or volume.record.deleting:
            raise NotFound(f"volume {name} does not exist", name=name)
        return volume

    def require_idle(self, name: str) -> None:
        """Refuse while a change of the volume is being committed.

        Raises:
            Busy: Repeat when that has ended.
        """
        if name in self.busy:
            raise Busy(f"volume {name} is being changed; repeat a little later", name=name)

    def place(self, wanted: Wanted, *, now: str, incarnation: str = "") -> tuple[Volume, Change | None]:
        """Reserve space for a volume; if it exists already and fits what is asked, return it with no change.

        Raises:
            NoCapacity: No drive can hold it; says why.
            Conflict: A volume of this name has other properties.
            Busy: A volume of this name is being deleted or changed.
            Unavailable: There is a volume of this name, and nothing is known of it.
        """
        self.require_idle(wanted.name)
        self.require_readable(wanted.name)
        held = self.volumes.get(wanted.name)
        if held is not None:
            self._require_same(held, wanted)
            return held, None
        drive = self.index.select(wanted)
        if drive is None:
            why = explain(wanted, self.index)
            raise NoCapacity(why.text, reason=why.reason)
        return self._place_on(drive, wanted, now, incarnation)

    def _place_on(self, drive: Drive, wanted: Wanted, now: str, incarnation: str) -> tuple[Volume, Change]:
        record = VolumeRecord(
            name=wanted.name,
            fsuuid=drive.record.fsuuid,
            capacity=wanted.size_on(drive.free),
            parameters=wanted.parameters,
            claim_id=wanted.need.claim,
            incarnation=incarnation,
            pvc_name=wanted.parameters.get(names.PVC_NAME, ""),
            pvc_namespace=wanted.parameters.get(names.PVC_NAMESPACE, ""),
            created=now,
        )
        volume = Volume(record)
        self.add(drive, volume)
        writes = Writes(volumes=(record,), placed=True)
        return volume, self.change(writes, lambda: self._taken_back(volume), record.name)

    def _taken_back(self, volume: Volume) -> None:
        self.drop(volume)

    def _require_same(self, held: Volume, wanted: Wanted) -> None:
        """Refuse a repeated create that asks for something else. Source: CSI CreateVolume, ALREADY_EXISTS."""
        record = held.record
        if record.deleting:
            raise Busy(f"volume {wanted.name} is being deleted; repeat when it is gone", name=wanted.name)
        exists = f"volume {wanted.name} exists with"
        if record.capacity < wanted.required or (wanted.limit and record.capacity > wanted.limit):
            raise Conflict(
                f"{exists} {record.capacity} bytes, which the capacity_range asked excludes", field="capacity_range"
            )
        if record.parameters != wanted.parameters:
            raise Conflict(f"{exists} other parameters", field="parameters")
        drive = self.drives[record.fsuuid]
        if drive.known and drive.record not in Reach((*wanted.preferred, *wanted.requisite)):
            raise Conflict(
                f"{exists} its data on node {drive.record.node}, outside of the topology asked",
                field="accessibility_requirements",
            )

    def expand(self, request: ExpandVolume) -> tuple[int, Change | None]:
        """Reserve a larger size; return the size that the volume has then. Smaller or equal changes nothing.

        Raises:
            NotFound: No such volume.
            InvalidRequest: ``required`` is larger than ``limit``.
            OutOfRange: The drive has not so much free, or the volume is larger than ``limit`` already.
            Busy: The volume is being changed.
        """
        check_sizes(request.required, request.limit)
        self.require_idle(request.name)
        volume = self.volume(request.name)
        capacity = volume.record.capacity
        if request.limit and capacity > request.limit:
            raise OutOfRange(
                f"volume {request.name} has {capacity} bytes already, more than limit_bytes", field="capacity_range"
            )
        if request.required <= capacity:
            return capacity, None
        return request.required, self.resize(volume, request.required)

    def resize(self, volume: Volume, capacity: int) -> Change:
        """Give the volume ``capacity`` bytes, more than it has.

        Raises:
            OutOfRange: The drive has not so much free; says how much there is.
            Busy: It is being moved.
        """
        record = volume.record
        unsettled.require_settled(record)
        drive = self.drives[record.fsuuid]
        delta = capacity - record.capacity
        if delta > drive.free:
            raise OutOfRange(
                f"volume {record.name}: {format_bytes(delta)} more are asked, but drive {record.fsuuid} on node "
                f"{drive.record.node} has {format_bytes(drive.free)} free",
                field="capacity_range",
            )
        volume.record = replace(record, capacity=capacity)
        self.reserve(drive, delta)

        def undo() -> None:
            volume.record = replace(volume.record, capacity=record.capacity)
            self.reserve(drive, -delta)

        return self.change(Writes(volumes=(volume.record,)), undo, record.name)

    def note_pod(
        self, volume: Volume, seen: VolumeRecord, labels: dict[str, str] | None = None, pv: Seen | None = None
    ) -> Change:
        """Take over from the node's record that the volume is used, by which pod last, and that pod's labels, if any.

        ``pv``: what the volume's PersistentVolume says; None: not known, what is known of it stays.
        """
        fields: dict[str, Any] = {name: getattr(seen, name) for name in ("pod_name", "pod_namespace", "pod_uid")}
        fields["used"] = volume.record.used or seen.used
        fields |= {} if labels is None else {"labels": labels}
        return self._amend(volume, **fields, **_kept(pv))

    def keep_pv(self, volume: Volume, seen: VolumeRecord) -> Change:
        """Take over from the drive what it remembers of the volume's PersistentVolume and claim."""
        claim = {name: getattr(seen, name) for name in ("pvc_name", "pvc_namespace") if seen.pvc_name}
        return self._amend(volume, pv=seen.pv, **claim)

    def change_volume(self, request: ChangeVolume) -> tuple[Volume, Change | None]:
        """Suspend, resume or label a volume; a request that changes nothing needs no commit.

        Raises:
            NotFound: No such volume.
            Busy: The volume is being changed.
            InvalidRequest: A label is reserved or not a valid label; ``field`` names it.
        """
        labels.check(request)
        self.require_idle(request.name)
        volume = self.volume(request.name)
        wanted = labels.changed(volume.record.labels, request)
        return volume, None if wanted == volume.record.labels else self.relabel(volume, wanted, deleting=False)

    def relabel(self, volume: Volume, labels: dict[str, str], *, deleting: bool) -> Change:
        """Take over what people decided about a volume: labels, and whether it is deleted."""
        return self._amend(volume, labels=labels, deleting=deleting)

    def mark(self, volume: Volume, *, deleting: bool) -> Change:
        """Set or clear the mark that a volume is being deleted; its space stays reserved."""
        return self._amend(volume, deleting=deleting)

    def _amend(self, volume: Volume, **fields: Any) -> Change:
        """Set fields that no sum depends on; undo takes back these fields, and no others."""
        before = volume.record
        self.amend(volume, replace(before, **fields))

        def undo() -> None:
            self.amend(volume, replace(volume.record, **{name: getattr(before, name) for name in fields}))

        return self.change(Writes(volumes=(volume.record,)), undo, before.name)

    def remove(self, volume: Volume) -> Change:
        """Forget a volume whose data is gone, and free its space."""
        record = volume.record
        unsettled.require_settled(record)
        drive = self.drop(volume)
        grave = self._graves.get(record.name)
        self._bury(record)

        def undo() -> None:
            self._graves.pop(record.name, None)
            if grave is not None:
                self._graves[record.name] = grave
            self.add(drive, volume)

        return self.change(Writes(removed=(record,)), undo, record.name)

    def may_destroy(self, record: VolumeRecord) -> bool:
        """Tell whether this very volume is being deleted, or was removed: an order may have waited for long."""
        volume = self.volumes.get(record.name)
        if volume is None:
            return self.is_buried(record)
        if volume.record.moving is not None:
            return False  # one order after the other
        if volume.record.fsuuid == record.fsuuid and is_same(volume.record, record):
            return volume.record.deleting
        return bool(record.incarnation) and self._graves.get(record.name) == (record.incarnation, record.fsuuid)

    def identify(self, volume: Volume, incarnation: str) -> Change:
        """Take over from the drive which incarnation the volume is, where the registry does not know."""
        return self._amend(volume, incarnation=incarnation)

    def adopt(self, drive: Drive, record: VolumeRecord) -> Change:
        """Enter a volume that was found on its drive, even if that promises more than the drive has."""
        volume, why = Volume(replace(record, moving=None)), self.unreadable.pop(("volume", record.name), None)
        self.add(drive, volume)
        return self.change(Writes(volumes=(volume.record,)), lambda: self._undo_adopt(volume, why), record.name)

    def _undo_adopt(self, volume: Volume, why: str | None) -> None:
        drive = self.drop(volume)
        if why is not None:
            self.unreadable["volume", volume.record.name] = why
        drive.generation = UNKNOWN

    def check(self) -> list[str]:
        """Return which invariants do not hold; empty when all is well."""
        return invariants.check(self)


def is_same(one: VolumeRecord, other: VolumeRecord) -> bool:
    """Tell whether two records of one name can be of the same volume; old ones tell no incarnation."""
    return one.incarnation == other.incarnation or not one.incarnation or not other.incarnation


def _kept(pv: Seen | None) -> dict[str, Any]:
    """Return the fields of a record in which that is kept."""
    if pv is None:
        return {}
    claim = {"pvc_name": pv.claim.name, "pvc_namespace": pv.claim.namespace} if pv.claim is not None else {}
    return {"pv": pv.pv, **claim}
