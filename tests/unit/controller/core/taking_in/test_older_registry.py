"""A registry that was restored from a backup: moves that it forgot, and what they left on drives."""

from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import FailedPrecondition, NoCapacity
from directpv_common.protocol.messages import HeldCopy, HeldVolume
from directpv_controller.core.placing.model import Snapshot
from directpv_controller.core.placing.wanted import Need
from directpv_controller.core.reserving import moving, retiring
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.showing.listing import drive_info
from unit.controller.builders import GIB, committed, drive_record, held, ledger_of, place, volume_record
from unit.controller.reports import replace, report, told

MOVE = "0123456789abcdef"


class World:
    """The volume ``v1`` in the registry on ``old``, and on the drive ``new`` of the same node in truth."""

    def __init__(self, **known: Any) -> None:
        self.old, self.new = drive_record(10 * GIB), drive_record(8 * GIB)
        self.known = volume_record("v1", self.old, 2 * GIB, incarnation="aa", **known)
        self.ledger = Ledger.load(Snapshot([self.old, self.new], [self.known]), lambda: 0.5)

    def found(self, **fields: Any) -> m.VolumeRecord:
        return replace(self.known, fsuuid=self.new.fsuuid, **{"origins": (self.old.fsuuid,), **fields})

    def on_new(self, record: m.VolumeRecord, **said: Any) -> m.HeldDrive:
        return replace(held(self.new), volumes=(HeldVolume(record=record, **said),))

    @property
    def home(self) -> str:
        return self.ledger.volumes["v1"].record.fsuuid


@pytest.mark.parametrize("old_first", [True, False])
def test_a_volume_that_was_moved_since_is_taken_over_where_it_is(old_first: bool) -> None:
    world = World()
    if old_first:
        assert report(world.ledger, held(world.old)).prepare == [world.known], "the node refuses that"

    outcome = report(world.ledger, world.on_new(world.found()))

    assert (told(outcome), outcome.prepare, outcome.remove) == (["volume.relocated"], [], [])
    record = world.ledger.volumes["v1"].record
    assert (record.fsuuid, record.origins, record.moving) == (world.new.fsuuid, (world.old.fsuuid,), None)
    assert report(world.ledger, held(world.old, generation=2)).prepare == []
    assert [world.ledger.drives[each.fsuuid].free for each in (world.old, world.new)] == [10 * GIB, 6 * GIB]
    assert world.ledger.check() == []


def test_one_that_was_moved_there_and_back_is_taken_over_once_the_other_drive_was_read() -> None:
    """Each names the other as its origin: only that one has it tells."""
    world = World()
    world.ledger.volumes["v1"].record = replace(world.known, origins=(world.new.fsuuid,))
    found = world.on_new(world.found())

    assert told(report(world.ledger, found)) == ["volume.conflict"]
    report(world.ledger, held(world.old))
    assert told(report(world.ledger, found)) == ["volume.relocated"]
    assert world.home == world.new.fsuuid


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"incarnation": "bb"}, {}),
        ({"incarnation": ""}, {}),
        ({}, {"stray_of": "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"}),
        ({}, {"contested": True}),
        ({}, {"stray_of": "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10", "sealed": MOVE}),
    ],
)
def test_what_may_be_another_volume_or_a_copy_is_not_taken_over(record: dict[str, Any], said: dict[str, Any]) -> None:
    world = World()
    report(world.ledger, held(world.old))
    assert told(report(world.ledger, world.on_new(world.found(**record), **said))) == ["volume.conflict"]
    assert world.home == world.old.fsuuid


def test_a_volume_that_is_being_deleted_or_on_another_node_is_not_taken_over() -> None:
    world = World(deleting=True)
    assert told(report(world.ledger, world.on_new(world.found()))) == ["volume.conflict"]

    world = World()
    far = drive_record(node="n2")
    found = replace(held(far), volumes=(HeldVolume(record=replace(world.found(), fsuuid=far.fsuuid)),))
    assert "volume.conflict" in told(report(world.ledger, found, node="n2"))


def test_a_move_that_the_older_registry_knows_as_begun_ends_with_it_and_frees_its_space() -> None:
    world = World()
    volume, change = moving.begin(_online(world), m.MoveVolume(name="v1", target=world.new.fsuuid), MOVE)
    committed(change)
    assert world.ledger.drives[world.new.fsuuid].free == 6 * GIB

    outcome = report(world.ledger, world.on_new(world.found()))

    assert (told(outcome), volume.record.moving, world.ledger.moves) == (["volume.relocated"], None, set())
    assert world.ledger.drives[world.new.fsuuid].free == 6 * GIB
    assert world.ledger.check() == []


def test_taking_over_that_cannot_be_committed_is_undone() -> None:
    world = World()
    volume, change = moving.begin(_online(world), m.MoveVolume(name="v1", target=world.new.fsuuid), MOVE)
    committed(change)
    before = volume.record

    moving.relocate(world.ledger, volume, world.ledger.drives[world.new.fsuuid], (world.old.fsuuid,)).undo()

    assert (volume.record, world.ledger.moves) == (before, {"v1"})
    assert [world.ledger.drives[each.fsuuid].free for each in (world.old, world.new)] == [8 * GIB, 6 * GIB]
    assert world.ledger.check() == []


def _online(world: World) -> Ledger:
    report(world.ledger, held(world.old, world.known))
    return world.ledger


# ---- copies


def with_copy(drive: m.DriveRecord, move: str = "", generation: int = 2) -> m.HeldDrive:
    copy = HeldCopy(name="v1", move=move, incarnation="aa" if move else "")
    return replace(held(drive, generation=generation), copies=(copy,))


@pytest.mark.parametrize(("move", "ordered"), [("", "0" * 16), (MOVE, MOVE)])
def test_a_copy_that_no_move_made_goes_once_the_volume_was_seen_elsewhere(move: str, ordered: str) -> None:
    world = World()
    waiting = report(world.ledger, with_copy(world.new, move))
    assert (waiting.unseal, waiting.unsettled) == ([], True), "it may be all that is left"

    report(world.ledger, held(world.old, world.known))
    ((record, order, target),) = report(world.ledger, with_copy(world.new, move, 3)).unseal
    assert (record.name, record.fsuuid, order, target) == ("v1", world.old.fsuuid, ordered, world.new.fsuuid)


def test_of_a_volume_that_nobody_knows_only_what_is_not_complete_goes() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    assert len(report(ledger, with_copy(drive)).unseal) == 1
    whole = report(ledger, with_copy(drive, MOVE, 3))
    assert (whole.unseal, whole.unsettled) == ([], True)
    assert (told(whole), ledger.contested) == (["volume.conflict"], {"v1": {drive.fsuuid}}), "people are told"


def test_what_copies_take_that_no_move_knows_is_promised_to_nobody_until_they_are_gone() -> None:
    drive = drive_record(8 * GIB)
    ledger = ledger_of(drive)
    copies = (HeldCopy(name="v1", move=MOVE, size=5 * GIB), HeldCopy(name="v2", move="b" * 16, size=GIB))
    report(ledger, replace(held(drive), copies=copies))
    assert drive_info(ledger.drives[drive.fsuuid]).strays == 6 * GIB
    assert ledger.index.capacity(Need()) == (2 * GIB, 2 * GIB)
    with pytest.raises(NoCapacity):
        place(ledger, "v3", 3 * GIB)
    with pytest.raises(FailedPrecondition, match=r"carries 6 GiB of volumes and copies"):
        retiring.check_removable(ledger.drives[drive.fsuuid])

    report(ledger, held(drive, generation=2))
    assert place(ledger, "v3", 8 * GIB).record.fsuuid == drive.fsuuid
    assert ledger.check() == []


def test_the_copy_of_a_move_is_counted_once_while_it_is_made_and_when_the_volume_is_there() -> None:
    world = World()
    volume, change = moving.begin(_online(world), m.MoveVolume(name="v1", target=world.new.fsuuid), MOVE)
    committed(change)
    copied = replace(with_copy(world.new, MOVE), copies=(HeldCopy(name="v1", move=MOVE, size=2 * GIB),))
    report(world.ledger, copied)
    assert world.ledger.check() == []
    committed(moving.flip(world.ledger, volume))
    report(world.ledger, replace(copied, generation=3))
    assert world.ledger.check() == []


def test_of_a_whole_copy_nobody_is_told_while_a_drive_was_not_read_that_may_have_the_volume() -> None:
    drive, other = drive_record(), drive_record()
    ledger = ledger_of(drive, other)
    early = report(ledger, with_copy(drive, MOVE))
    assert (told(early), early.unsettled) == ([], True)
    report(ledger, held(other))
    assert told(report(ledger, with_copy(drive, MOVE, 3))) == ["volume.conflict"]


def test_the_copy_of_a_move_that_goes_on_stays() -> None:
    world = World()
    _, change = moving.begin(_online(world), m.MoveVolume(name="v1", target=world.new.fsuuid), MOVE)
    committed(change)
    for number, move in enumerate(("", MOVE), start=2):
        outcome = report(world.ledger, with_copy(world.new, move, number))
        assert (outcome.unseal, outcome.unsettled) == ([], False)


def test_a_volume_that_is_sealed_for_a_drive_that_nobody_knows_stays_so_until_that_is_given_up() -> None:
    """The registry is older than the drive, whose disk may have the only copy of what was written last."""
    world = World()
    strange = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"
    found = HeldVolume(record=world.known, stray_of=strange, sealed=MOVE)
    on_old = replace(held(world.old), volumes=(found,))

    outcome = report(world.ledger, on_old)
    assert (outcome.unseal, outcome.unsettled) == ([], True)

    change = retiring.give_up_unknown(world.ledger, strange, "2026-11-30T12:00:00Z")
    assert [(each.fsuuid, each.node) for each in change.writes.retired] == [(strange, world.old.node)]
    (sealed,) = report(world.ledger, on_old).unseal
    assert (sealed.record.name, sealed.move) == ("v1", MOVE)


def flipped(world: World, other: str) -> None:
    """Let the registry be as it was just after the volume came to ``old`` from ``other``."""
    record = replace(world.known, origins=(other,), moving=m.Moving(drive=other, id=MOVE, phase=m.MovePhase.FLIPPED))
    volume = world.ledger.volumes["v1"]
    world.ledger.amend(volume, record)
    world.ledger.note_move(record)
    world.known = record


def test_a_registry_from_the_moment_after_a_move_takes_over_where_a_later_one_brought_the_volume() -> None:
    world = World()
    first = drive_record(8 * GIB)
    world.ledger.register(first)
    flipped(world, first.fsuuid)

    outcome = report(world.ledger, world.on_new(world.found(origins=(first.fsuuid, world.old.fsuuid), moving=None)))

    assert told(outcome) == ["volume.relocated"]
    record = world.ledger.volumes["v1"].record
    assert (record.fsuuid, record.moving) == (world.new.fsuuid, None)
    assert world.ledger.check() == []
    left = HeldVolume(record=replace(world.known, fsuuid=first.fsuuid), stray_of=world.old.fsuuid, sealed=MOVE)
    (goes,) = report(world.ledger, replace(held(first), volumes=(left,))).left
    assert (goes.record.name, goes.target) == ("v1", first.fsuuid)


@pytest.mark.parametrize("said", [{}, {"stray_of": "old", "sealed": MOVE}])
def test_a_volume_that_went_back_since_is_told_from_what_its_move_had_left(said: dict[str, str]) -> None:
    world = World()
    flipped(world, world.new.fsuuid)
    if said:
        said["stray_of"] = world.old.fsuuid
    origins = () if said else (world.old.fsuuid,)
    report(world.ledger, held(world.old))

    outcome = report(world.ledger, world.on_new(world.found(origins=origins, moving=None), **said))

    assert told(outcome) == ([] if said else ["volume.relocated"])
    assert world.home == (world.old if said else world.new).fsuuid
