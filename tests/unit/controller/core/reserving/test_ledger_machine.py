"""Any sequence of operations, commits that fail, inventories and restarts: the ledger agrees with a naive model.

The model keeps plain dictionaries and finds drives by looking at all of them. After every step the invariants of
design 5 hold, memory equals the model, and, when nothing is under way, memory equals what the registry would load.
"""

import random
from collections.abc import Callable

import hypothesis.strategies as st
import msgspec
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import directpv_common.protocol.messages as m
from directpv_common.protocol import names
from directpv_common.protocol.errors import Busy, Conflict, NoCapacity, OutOfRange
from directpv_common.protocol.names import AccessTier
from directpv_controller.core.placing.model import Change, Snapshot, Writes
from directpv_controller.core.placing.wanted import wanted_from
from directpv_controller.core.reserving import retiring
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.taking_in.reconcile import NOT_REPORTED, change_of, lost, take_in
from unit.controller.builders import NOW, drive_record, on
from unit.controller.core.reserving.naive import CLAIMS, NAMES, NODES, SIZES, ZONES, NaiveDrive, NaiveVolume, copied


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(random.Random(0).random)
        self.drives: dict[str, NaiveDrive] = {}
        self.registry_drives: dict[str, m.DriveRecord] = {}
        self.registry_volumes: dict[str, m.VolumeRecord] = {}
        self.pending: list[tuple[Change, Callable[[], None], set[str]]] = []
        self.boot = "boot-0"

    # ---- the registry

    def write(self, writes: Writes) -> None:
        self.registry_drives.update((record.fsuuid, record) for record in writes.drives)
        self.registry_volumes.update((record.name, record) for record in writes.volumes)
        for record in writes.removed:
            del self.registry_volumes[record.name]
        for gone in writes.gone:
            del self.registry_drives[gone.fsuuid]

    def settle(self, change: Change | None, commit: bool, undo: Callable[[], None]) -> None:
        if change is None:
            return
        if commit:
            self.write(change.writes)
            change.done()
        else:
            change.undo()
            undo()

    def later(self, change: Change, undo: Callable[[], None], *touched: str) -> None:
        self.pending.append((change, undo, set(touched)))

    @property
    def under_way(self) -> set[str]:
        return {name for _, _, touched in self.pending for name in touched}

    @precondition(lambda self: self.pending)
    @rule(commit=st.booleans())
    def the_oldest_commit_ends(self, commit: bool) -> None:
        change, undo, _ = self.pending.pop(0)
        self.settle(change, commit, undo)

    # ---- drives

    @initialize(count=st.integers(1, 4), data=st.data())
    def some_drives(self, count: int, data: st.DataObject) -> None:
        for _ in range(count):
            self.a_drive_is_registered(
                data.draw(SIZES),
                data.draw(st.sampled_from(NODES)),
                data.draw(st.sampled_from(ZONES)),
                AccessTier.DEFAULT,
                True,
            )

    @precondition(lambda self: len(self.drives) < 8)
    @rule(
        size=SIZES,
        node=st.sampled_from(NODES),
        zone=st.sampled_from(ZONES),
        tier=st.sampled_from(AccessTier),
        commit=st.booleans(),
    )
    def a_drive_is_registered(self, size: int, node: str, zone: str, tier: AccessTier, commit: bool) -> None:
        record = drive_record(size, node=node, topology={names.ZONE: zone}, access_tier=tier)
        self.drives[record.fsuuid] = NaiveDrive(record)
        self.settle(self.ledger.register(record), commit, lambda: self.drives.pop(record.fsuuid) and None)

    def draw_drive(self, data: st.DataObject) -> NaiveDrive:
        return self.drives[data.draw(st.sampled_from(sorted(self.drives)))]

    @precondition(lambda self: self.drives)
    @rule(data=st.data(), cordon=st.booleans(), label=st.sampled_from(("", "a", "b")), commit=st.booleans())
    def a_drive_is_cordoned_or_labelled(self, data: st.DataObject, cordon: bool, label: str, commit: bool) -> None:
        drive = self.draw_drive(data)
        before = drive.record
        labels = {"class": label} if label else {}
        _, change = self.ledger.change_drive(
            m.ChangeDrive(fsuuid=before.fsuuid, unschedulable=cordon, set_labels=labels)
        )
        drive.record = msgspec.structs.replace(before, unschedulable=cordon, labels={**before.labels, **labels})
        self.settle(change, commit, lambda: setattr(drive, "record", before))

    @precondition(lambda self: self.drives)
    @rule(data=st.data(), status=st.sampled_from(m.DriveStatus), commit=st.booleans())
    def a_drive_changes_state(self, data: st.DataObject, status: m.DriveStatus, commit: bool) -> None:
        drive = self.draw_drive(data)
        before = drive.record
        seen = drive.record = msgspec.structs.replace(before, status=status)
        drive.generation += 1
        if status is m.DriveStatus.REMOVED:  # which is not for a node to decide
            cause = m.Condition(type=m.ConditionType.MOUNT_ERROR, message=retiring.GIVEN_UP, since=before.created)
            drive.record = msgspec.structs.replace(before, status=m.DriveStatus.ERROR, conditions=(cause,))
        held = m.HeldDrive(record=seen, generation=drive.generation, readable=False)
        outcome = take_in(self.ledger, drive.record.node, self.boot, held)
        assert (outcome.prepare, outcome.remove) == ([], [])
        change = change_of(self.ledger, [outcome])
        self.settle(change, commit, lambda: setattr(drive, "record", before))

    @precondition(lambda self: not self.pending and self.empty_drives())
    @rule(data=st.data(), noted=st.booleans(), commit=st.booleans())
    def a_drive_is_given_up(self, data: st.DataObject, noted: bool, commit: bool) -> None:
        fsuuid = data.draw(st.sampled_from(self.empty_drives()))
        change = retiring.give_up(self.ledger, self.ledger.drives[fsuuid], m.Wipe.NONE, NOW)
        assert change is not None
        self.settle(change, True, lambda: None)
        if not commit:
            retiring.close(self.ledger, self.ledger.drives[fsuuid], noted=noted, now=NOW).undo()
            assert retiring.is_given_up(self.ledger.drives[fsuuid])
        drive = self.drives.pop(fsuuid)
        self.settle(retiring.close(self.ledger, self.ledger.drives[fsuuid], noted=noted, now=NOW), True, lambda: None)
        held = m.HeldDrive(record=drive.record, generation=drive.generation + 1)
        assert take_in(self.ledger, drive.record.node, self.boot, held).changes == []

    def empty_drives(self) -> list[str]:
        return sorted(f for f, drive in self.drives.items() if not (drive.volumes or drive.on_disk))

    @precondition(lambda self: self.drives)
    @rule(data=st.data(), commit=st.booleans())
    def a_drive_is_reported_no_more(self, data: st.DataObject, commit: bool) -> None:
        drive = self.draw_drive(data)
        before = drive.record
        change = change_of(self.ledger, [lost(self.ledger, self.ledger.drives[before.fsuuid], NOW)])
        cause = m.Condition(type=m.ConditionType.LOST, message=NOT_REPORTED, since=NOW)
        drive.record = msgspec.structs.replace(before, status=m.DriveStatus.LOST, device="", conditions=(cause,))
        self.settle(change, commit, lambda: setattr(drive, "record", before))

    # ---- volumes

    def volume(self, name: str) -> NaiveVolume | None:
        return next((drive.volumes[name] for drive in self.drives.values() if name in drive.volumes), None)

    @rule(
        name=st.sampled_from(NAMES),
        required=st.one_of(st.just(0), SIZES),
        limit=st.one_of(st.just(0), SIZES),
        tier=st.sampled_from((None, *AccessTier)),
        claim=CLAIMS,
        terms=st.lists(st.sampled_from((*on(*NODES), *({names.ZONE: zone} for zone in ZONES))), max_size=3),
        preferred=st.integers(0, 3),
    )
    def a_volume_is_created(
        self,
        name: str,
        required: int,
        limit: int,
        tier: AccessTier | None,
        claim: str,
        terms: list[dict[str, str]],
        preferred: int,
    ) -> None:
        if limit and required > limit:
            return
        parameters = {names.ACCESS_TIER: tier.value} if tier else {}
        parameters |= {names.VOLUME_CLAIM_ID: claim} if claim else {}
        wanted = wanted_from(
            m.CreateVolume(
                name=name,
                required=required,
                limit=limit,
                parameters=parameters,
                preferred=tuple(terms[:preferred]),
                requisite=tuple(terms),
            )
        )
        held = self.volume(name)
        candidates = self.best(max(1, required), tier, claim, terms[:preferred], terms)
        try:
            volume, change = self.ledger.place(wanted, now=NOW)
        except Busy:
            assert name in self.under_way or (held and held.deleting)
        except Conflict:
            assert held
            assert name not in self.under_way
        except NoCapacity:
            assert held is None
            assert not candidates
        else:
            record = volume.record
            if held is not None:
                assert (change, record.fsuuid, record.capacity) == (None, held.drive, held.capacity)
                return
            assert change is not None
            assert record.fsuuid in candidates
            drive = self.drives[record.fsuuid]
            free = drive.free
            assert record.capacity == (required or min(free, limit or free))
            drive.volumes[name] = NaiveVolume(record.fsuuid, record.capacity, claim)
            self.later(change, lambda: drive.volumes.pop(name) and None, name)

    def best(
        self,
        size: int,
        tier: AccessTier | None,
        claim: str,
        preferred: list[dict[str, str]],
        requisite: list[dict[str, str]],
    ) -> set[str]:
        """Look at all drives, as somebody would who has all day."""
        fitting = [
            drive
            for fsuuid, drive in self.drives.items()
            if drive.takes(size, tier, claim) and not self.ledger.drives[fsuuid].pending
        ]

        def most(terms: list[dict[str, str]]) -> set[str]:
            there = [d for d in fitting if not terms or any(t.items() <= d.record.topology.items() for t in terms)]
            return {d.record.fsuuid for d in there if d.free == max(other.free for other in there)}

        for term in preferred:
            if found := most([term]):
                return found
        return most(requisite or preferred)

    def known(self, name: str) -> NaiveVolume | None:
        volume = self.volume(name)
        return None if name in self.under_way else volume

    @rule(name=st.sampled_from(NAMES), size=SIZES)
    def a_volume_is_expanded(self, name: str, size: int) -> None:
        held = self.known(name)
        if held is None or held.deleting:
            return
        before = held.capacity
        drive = self.drives[held.drive]
        try:
            capacity, change = self.ledger.expand(m.ExpandVolume(name=name, required=size))
        except OutOfRange:
            assert size - before > drive.free
            return
        assert size - before <= drive.free
        assert capacity == max(size, before)
        held.capacity = capacity
        if change is not None:
            self.later(change, lambda: setattr(held, "capacity", before), name)

    @rule(name=st.sampled_from(NAMES), deleting=st.booleans())
    def a_volume_is_marked_as_being_deleted_or_not(self, name: str, deleting: bool) -> None:
        held = self.known(name)
        if held is None:
            return
        before, held.deleting = held.deleting, deleting
        change = self.ledger.mark(self.ledger.volumes[name], deleting=deleting)
        self.later(change, lambda: setattr(held, "deleting", before), name)

    @rule(name=st.sampled_from(NAMES))
    def a_volumes_data_is_gone(self, name: str) -> None:
        held = self.known(name)
        if held is None or not held.deleting:
            return
        drive = self.drives[held.drive]
        drive.on_disk.pop(name, None)
        drive.generation += 1
        del drive.volumes[name]

        def undo() -> None:
            drive.volumes[name] = held

        self.later(self.ledger.remove(self.ledger.volumes[name]), undo, name)

    # ---- nodes

    @precondition(lambda self: self.drives)
    @rule(data=st.data())
    def a_drive_is_reported_and_its_node_obeys(self, data: st.DataObject) -> None:
        drive = self.draw_drive(data)
        self.report(drive)

    def report(self, drive: NaiveDrive) -> None:
        drive.generation += 1
        held = m.HeldDrive(
            record=drive.record,
            generation=drive.generation,
            volumes=tuple(m.HeldVolume(record=record) for record in drive.on_disk.values()),
        )
        outcome = take_in(self.ledger, drive.record.node, self.boot, held)
        self.settle(change_of(self.ledger, [outcome]), True, lambda: None)
        self.raise_to_disk(drive)
        idle = drive.volumes.keys() - self.under_way
        assert {r.name for r in outcome.prepare} == {
            n for n in idle if not drive.volumes[n].deleting and self.lacks(drive, n)
        }
        marked = {n for n in idle if drive.volumes[n].deleting}
        assert marked <= {r.name for r in outcome.remove}
        drive.on_disk.update((record.name, record) for record in outcome.prepare)

    def raise_to_disk(self, drive: NaiveDrive) -> None:
        """An expansion that the node made and the registry refused is made up for."""
        for name in drive.volumes.keys() & drive.on_disk.keys() - self.under_way:
            volume, more = drive.volumes[name], drive.on_disk[name].capacity - drive.volumes[name].capacity
            if 0 < more <= drive.free and not volume.deleting:
                volume.capacity += more

    def lacks(self, drive: NaiveDrive, name: str) -> bool:
        found = drive.on_disk.get(name)
        return found is None or found.capacity < drive.volumes[name].capacity

    # ---- crashes

    @rule()
    def the_leader_is_replaced(self) -> None:
        """What was not committed is gone; the rest is loaded, and inventories come again."""
        for _, undo, _ in reversed(self.pending):
            undo()
        self.pending.clear()
        snapshot = Snapshot(list(self.registry_drives.values()), list(map(copied, self.registry_volumes.values())))
        self.ledger = Ledger.load(snapshot, random.Random(0).random)

    @precondition(lambda self: not self.pending and self.drives)
    @rule()
    def the_registry_is_lost_and_rebuilt_from_the_drives(self) -> None:
        self.registry_drives.clear()
        self.registry_volumes.clear()
        self.ledger = Ledger(random.Random(0).random)
        for drive in self.drives.values():
            drive.volumes = {
                name: NaiveVolume(record.fsuuid, record.capacity, record.claim_id)
                for name, record in drive.on_disk.items()
            }
            self.report(drive)

    # ---- what holds after every step

    @invariant()
    def the_invariants_hold(self) -> None:
        assert self.ledger.check() == []

    @invariant()
    def memory_is_as_the_model(self) -> None:
        assert self.ledger.drives.keys() == self.drives.keys()
        for fsuuid, drive in self.drives.items():
            mine = self.ledger.drives[fsuuid]
            assert mine.record == drive.record
            assert mine.free == drive.free
            found = {
                name: NaiveVolume(fsuuid, v.record.capacity, v.record.claim_id, v.record.deleting)
                for name, v in mine.volumes.items()
            }
            assert found == drive.volumes
        assert self.ledger.busy == self.under_way

    @invariant()
    def the_registry_has_what_memory_has(self) -> None:
        if self.pending:
            return
        doubtful = self.ledger.doubtful
        for fsuuid, drive in self.ledger.drives.items():
            assert fsuuid in doubtful or self.registry_drives[fsuuid] == drive.record
        assert self.registry_volumes == {name: v.record for name, v in self.ledger.volumes.items()}


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
