"""A volume's move in the ledger: space on both drives, one flip, and who may do what meanwhile."""

import random
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import Busy, Conflict, DirectPVError, FailedPrecondition, NoCapacity, NotFound
from directpv_common.protocol.names import SUSPEND, AccessTier
from directpv_controller.core.placing.model import Snapshot, Volume
from directpv_controller.core.reserving import moving, retiring
from directpv_controller.core.reserving.ledger import Ledger
from unit.controller.builders import CLAIM, GIB, committed, drive_record, held, ledger_of, place, volume_record
from unit.controller.reports import replace, report, told

MOVE = "0123456789abcdef"


def two(old: int = 10 * GIB, new: int = 8 * GIB, **facts: Any) -> tuple[Ledger, str, str]:
    """A ledger with the volume ``v1`` on the first of two drives."""
    first, second = drive_record(old), drive_record(new, **facts)
    ledger = ledger_of(first, second)
    report(ledger, held(first, volume_record("v1", first, 2 * GIB, incarnation="aa")))
    return ledger, first.fsuuid, second.fsuuid


def begun(ledger: Ledger, target: str = "", **asked: Any) -> Volume:
    volume, change = moving.begin(ledger, m.MoveVolume(name="v1", target=target, **asked), MOVE)
    committed(change)
    return volume


def test_both_drives_have_the_space_reserved_until_nothing_is_left_on_the_first() -> None:
    ledger, old, new = two()

    volume = begun(ledger, new)
    assert (ledger.drives[old].free, ledger.drives[new].free) == (8 * GIB, 6 * GIB)
    assert volume.record.fsuuid == old

    committed(moving.flip(ledger, volume))
    assert (ledger.drives[old].free, ledger.drives[new].free) == (8 * GIB, 6 * GIB)
    assert (volume.record.fsuuid, volume.record.origins) == (new, (old,))
    assert volume.record.moving == m.Moving(drive=old, id=MOVE, phase=m.MovePhase.FLIPPED)
    assert not volume.seen, "its node has not been heard to have it there"

    committed(moving.settle(ledger, volume))
    assert (ledger.drives[old].free, ledger.drives[new].free) == (10 * GIB, 6 * GIB)
    assert volume.record.moving is None
    assert ledger.check() == []


def test_a_move_that_is_taken_back_keeps_its_space_until_the_copy_is_gone() -> None:
    ledger, old, new = two()
    volume = begun(ledger, new)

    committed(moving.cancel(ledger, "v1")[1])
    assert moving.cancel(ledger, "v1") == (volume, None)
    assert ledger.drives[new].free == 6 * GIB

    committed(moving.settle(ledger, volume))
    assert ledger.drives[new].free == 8 * GIB
    assert (volume.record.fsuuid, volume.record.moving) == (old, None)


def test_a_volume_that_has_flipped_cannot_be_taken_back() -> None:
    ledger, old, new = two()
    volume = begun(ledger, new)
    committed(moving.flip(ledger, volume))

    why = rf"was moved to drive {new}, and what it was on drive {old} is not removed yet \(it is mounted\)"
    with pytest.raises(FailedPrecondition, match=f"{why}; .*, and move it again to have it elsewhere"):
        moving.cancel(ledger, "v1", "it is mounted")
    with pytest.raises(Conflict, match=why):
        moving.begin(ledger, m.MoveVolume(name="v1", target=old), "b" * 16, "it is mounted")
    assert moving.begin(ledger, m.MoveVolume(name="v1", target=new), "b" * 16) == (volume, None), "it goes on"


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"node": "n2"}, "drives of its own node only"),
        ({"unschedulable": True}, "it is cordoned"),
        ({"status": m.DriveStatus.ERROR}, "it is Error"),
        ({"labels": {SUSPEND: "true"}}, "it is suspended"),
    ],
)
def test_a_target_that_takes_no_volumes_is_refused_with_the_reason(facts: dict[str, Any], why: str) -> None:
    ledger, _, new = two(**facts)

    with pytest.raises(FailedPrecondition, match=why):
        begun(ledger, new)

    assert ledger.check() == []


@pytest.mark.parametrize(
    ("facts", "why"),
    [({"labels": {SUSPEND: "true"}}, "suspended"), ({"status": m.DriveStatus.LOST}, "Lost, so that its data")],
)
def test_a_source_whose_data_cannot_be_read_is_refused_with_the_reason(facts: dict[str, Any], why: str) -> None:
    ledger, old, new = two()
    drive = ledger.drives[old]
    committed(ledger.set_drive(drive, replace(drive.record, **facts)))

    with pytest.raises(FailedPrecondition, match=why):
        begun(ledger, new)


def test_a_source_whose_node_is_away_is_refused() -> None:
    ledger, _, new = two()
    ledger.set_offline("n1", True)

    with pytest.raises(FailedPrecondition, match="offline"):
        begun(ledger, new)


def test_too_little_room_says_how_much_there_is() -> None:
    ledger, _, new = two(new=GIB)

    with pytest.raises(NoCapacity, match=f"2 GiB, and drive {new} has 1 GiB free"):
        begun(ledger, new)
    with pytest.raises(NoCapacity, match="no other drive of node n1"):
        begun(ledger)


def test_a_volume_is_not_moved_to_where_it_is_nor_beside_one_of_its_claim() -> None:
    ledger, old, new = two()
    with pytest.raises(FailedPrecondition, match="already"):
        begun(ledger, old)
    with pytest.raises(NotFound):
        begun(ledger, "00000000-0000-4000-8000-000000000000")

    record = ledger.volumes["v1"].record
    ledger.drop(ledger.volumes["v1"])
    committed(ledger.adopt(ledger.drives[old], replace(record, claim_id=CLAIM)))
    committed(ledger.adopt(ledger.drives[new], replace(record, name="v2", fsuuid=new, claim_id=CLAIM)))
    with pytest.raises(FailedPrecondition, match="claim id"):
        begun(ledger, new)


def test_without_a_target_the_drive_that_suits_the_class_and_has_most_space_is_taken() -> None:
    first = drive_record(10 * GIB)
    hot, cold, other = (
        drive_record(5 * GIB, access_tier=AccessTier.HOT),
        drive_record(9 * GIB),
        drive_record(8 * GIB, node="n2", access_tier=AccessTier.HOT),
    )
    ledger = ledger_of(first, hot, cold, other)
    parameters = {"directpv.min.io/access-tier": "Hot"}
    report(ledger, held(first, volume_record("v1", first, parameters=parameters)))

    volume = begun(ledger)

    assert volume.record.moving is not None
    assert volume.record.moving.drive == hot.fsuuid


def test_a_repeat_changes_the_limit_and_another_target_is_refused() -> None:
    ledger, old, new = two()
    volume = begun(ledger, new, limit=5)

    assert moving.begin(ledger, m.MoveVolume(name="v1", target=new, limit=5), "ff") == (volume, None)
    committed(moving.begin(ledger, m.MoveVolume(name="v1", limit=7), "ff")[1])
    assert volume.record.moving == m.Moving(drive=new, id=MOVE, limit=7)
    with pytest.raises(Conflict, match="cancel"):
        moving.begin(ledger, m.MoveVolume(name="v1", target=old), "ff")


def test_a_volume_that_moves_is_neither_enlarged_nor_forgotten_nor_destroyed() -> None:
    ledger, _, new = two()
    volume = begun(ledger, new)
    committed(ledger.mark(volume, deleting=True))

    with pytest.raises(Busy, match="being moved"):
        ledger.resize(volume, 3 * GIB)
    with pytest.raises(Busy, match="being moved"):
        ledger.remove(volume)
    assert not ledger.may_destroy(volume.record)

    committed(moving.cancelled(ledger, volume))
    committed(moving.settle(ledger, volume))
    assert ledger.may_destroy(volume.record)


def test_what_a_move_leaves_behind_is_no_conflict_and_takes_no_space_twice() -> None:
    ledger, old, new = two()
    before = ledger.volumes["v1"].record
    volume = begun(ledger, new)
    committed(moving.flip(ledger, volume))

    outcome = report(ledger, held(ledger.drives[old], before, generation=2))

    assert (told(outcome), outcome.prepare, outcome.remove) == ([], [], [])
    assert ledger.drives[old].free == 8 * GIB
    assert report(ledger, held(ledger.drives[new], generation=2)).prepare == [volume.record]
    assert ledger.check() == []


def test_what_a_move_left_on_a_drive_that_was_away_is_removed_when_it_is_back() -> None:
    ledger, old, new = two()
    before = ledger.volumes["v1"].record
    volume = begun(ledger, new)
    committed(moving.flip(ledger, volume))
    committed(moving.settle(ledger, volume))

    def back(**said: str) -> m.HeldDrive:
        found = m.HeldVolume(record=before, **said)
        return replace(held(ledger.drives[old], generation=2), volumes=(found,))

    stranger = report(ledger, back(stray_of=new))
    assert (told(stranger), stranger.left) == (["volume.conflict"], []), "a copy that no move has sealed stays"
    outcome = report(ledger, back(stray_of=new, sealed=MOVE))
    ((record, move, drive),) = outcome.left
    assert (record.fsuuid, move, drive, told(outcome), outcome.remove) == (new, MOVE, old, [], [])


def test_neither_drive_of_a_move_is_given_up() -> None:
    ledger, old, new = two()
    volume = begun(ledger, new)
    with pytest.raises(FailedPrecondition, match="v1 is being moved"):
        retiring.check_removable(ledger.drives[new])

    committed(moving.flip(ledger, volume))
    with pytest.raises(FailedPrecondition, match="v1 is being moved"):
        retiring.check_removable(ledger.drives[old])
    committed(moving.settle(ledger, volume))
    retiring.check_removable(ledger.drives[old])


def test_a_seal_is_lifted_only_where_the_registry_knows_of_no_move() -> None:
    ledger, old, new = two()
    volume = begun(ledger, new)

    def sealed(generation: int) -> m.HeldDrive:
        found = m.HeldVolume(record=volume.record, stray_of=new, sealed=MOVE)
        return replace(held(ledger.drives[old], generation=generation), volumes=(found,))

    outcome = report(ledger, sealed(2))
    assert (outcome.prepare, outcome.unseal) == ([], []), "the flip may be under way"

    committed(moving.cancelled(ledger, volume))
    committed(moving.settle(ledger, volume))
    outcome = report(ledger, sealed(3))
    assert (outcome.unseal, outcome.unsettled) == ([], True), "the other drive was not read: it may have the volume"
    report(ledger, held(ledger.drives[new]))
    ((record, move, target),) = report(ledger, sealed(4)).unseal
    assert (record.name, move, target) == ("v1", MOVE, new)


def test_a_seal_for_a_drive_that_is_gone_is_lifted() -> None:
    ledger, old, _ = two()
    gone = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"
    found = m.HeldVolume(record=ledger.volumes["v1"].record, stray_of=gone, sealed=MOVE)
    ledger.note_past(m.RetiredDrive(fsuuid=gone, node="n1"))
    assert report(ledger, replace(held(ledger.drives[old], generation=2), volumes=(found,))).unseal


def test_a_seal_that_was_cut_short_is_lifted_also_where_the_registry_was_lost() -> None:
    """The mark that names the other drive comes second: nobody heard that all was copied."""
    drive = drive_record()
    ledger = ledger_of(drive)
    found = m.HeldVolume(record=volume_record("v1", drive), sealed=MOVE)

    outcome = report(ledger, replace(held(drive), volumes=(found,)))

    assert told(outcome) == ["volume.adopted"]
    ((record, move, target),) = outcome.unseal
    assert (record.name, move, target) == ("v1", MOVE, drive.fsuuid)


def test_a_sealed_volume_of_a_lost_registry_is_taken_in_once_the_other_drive_was_seen_not_to_have_it() -> None:
    first, second = drive_record(), drive_record()
    ledger = ledger_of(first)
    sealed = m.HeldVolume(record=volume_record("v1", first), stray_of=second.fsuuid, sealed=MOVE)

    before = report(ledger, replace(held(first), volumes=(sealed,)))
    assert (told(before), before.unsettled) == (["volume.conflict"], True)
    assert ledger.volumes == {}

    report(ledger, held(second))
    outcome = report(ledger, replace(held(first), volumes=(sealed,)))
    assert "volume.adopted" in told(outcome)
    assert ledger.volumes["v1"].record.fsuuid == first.fsuuid
    assert [(each.move, each.target) for each in outcome.unseal] == [(MOVE, second.fsuuid)]


def test_a_volume_that_is_taken_in_from_its_drive_is_in_no_move() -> None:
    drive = drive_record()
    record = volume_record("v1", drive, moving=m.Moving(drive=drive.fsuuid, id=MOVE))
    ledger = ledger_of(drive)

    outcome = report(ledger, held(drive, record))

    assert ledger.volumes["v1"].record.moving is None
    assert outcome.changes[0].writes.volumes[0].moving is None


class MovingMachine(RuleBasedStateMachine):
    """Any sequence of steps and failed commits: the sums hold, and a restart finds the same."""

    def __init__(self) -> None:
        super().__init__()
        self.records = [drive_record(size * GIB) for size in (9, 7, 5)]
        self.ledger = ledger_of(*self.records)
        self.registry: dict[str, m.VolumeRecord] = {}
        for name in ("v1", "v2", "v3"):
            self.registry[name] = place(self.ledger, name, 2 * GIB).record

    def attempt(self, step: Any, commit: bool) -> None:
        try:
            change = step()
        except DirectPVError:
            return
        if change is None:
            return
        if not commit:
            change.undo()
            return
        change.done()
        for record in change.writes.volumes:
            self.registry[record.name] = record

    @rule(name=st.sampled_from(("v1", "v2", "v3")), place=st.integers(0, 3), commit=st.booleans())
    def begins(self, name: str, place: int, commit: bool) -> None:
        fsuuid = [*(record.fsuuid for record in self.records), ""][place]
        self.attempt(lambda: moving.begin(self.ledger, m.MoveVolume(name=name, target=fsuuid), MOVE)[1], commit)

    @rule(name=st.sampled_from(("v1", "v2", "v3")), commit=st.booleans())
    def flips(self, name: str, commit: bool) -> None:
        self.attempt(lambda: moving.flip(self.ledger, self.ledger.volumes[name]), commit)

    @rule(name=st.sampled_from(("v1", "v2", "v3")), commit=st.booleans())
    def is_cancelled(self, name: str, commit: bool) -> None:
        self.attempt(lambda: moving.cancel(self.ledger, name)[1], commit)

    @precondition(lambda self: self.ledger.moves)
    @rule(data=st.data(), commit=st.booleans())
    def is_settled(self, data: st.DataObject, commit: bool) -> None:
        volume = self.ledger.volumes[data.draw(st.sampled_from(sorted(self.ledger.moves)))]
        if volume.record.moving is not None and volume.record.moving.phase is not m.MovePhase.COPYING:
            self.attempt(lambda: moving.settle(self.ledger, volume), commit)

    @rule()
    def restarts(self) -> None:
        snapshot = Snapshot(list(self.records), list(self.registry.values()))
        loaded = Ledger.load(snapshot, random.Random(0).random)
        assert {n: v.record for n, v in loaded.volumes.items()} == {n: v.record for n, v in self.ledger.volumes.items()}
        assert {f: d.allocated for f, d in loaded.drives.items()} == {
            f: d.allocated for f, d in self.ledger.drives.items()
        }
        self.ledger = loaded

    @invariant()
    def all_is_in_order(self) -> None:
        assert self.ledger.check() == []


TestMovingMachine = MovingMachine.TestCase
TestMovingMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
