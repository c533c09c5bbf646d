"""The agent's memory of a drive: space, generations, and what is told to the controller."""

import pytest

from directpv_common.protocol.errors import FailedPrecondition, OutOfRange
from directpv_common.protocol.messages import (
    Condition,
    ConditionType,
    DriveRecord,
    DriveStatus,
    VolumeRecord,
    VolumeUse,
)
from directpv_common.protocol.names import SUSPEND
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.view import Contents, DriveView

FSUUID = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"
VIEW = DriveView("/root", FSUUID, "8:16", "sdb", enforced=True)


def volume(name: str = "pvc-1", capacity: int = 100, **fields: object) -> VolumeRecord:
    return VolumeRecord(name=name, fsuuid=FSUUID, capacity=capacity, **fields)  # type: ignore[arg-type]


def drive(
    *volumes: VolumeRecord, total: int = 1000, overhead: int = 100, labels: dict[str, str] | None = None
) -> Drive:
    record = DriveRecord(fsuuid=FSUUID, node="n1", total=total, overhead=overhead, labels=labels or {})
    return Drive(Contents(VIEW, record, {v.name: v for v in volumes}, {}, {}, {}))


def test_the_last_byte_can_be_reserved_and_not_one_more() -> None:
    held = drive(volume(capacity=400))

    with pytest.raises(OutOfRange, match="pvc-2"):
        held.reserve("pvc-2", 501)
    held.reserve("pvc-2", 500)

    assert held.free == 0


def test_two_reservations_that_run_at_once_cannot_have_the_same_bytes() -> None:
    held = drive()
    held.reserve("a", 500)

    with pytest.raises(OutOfRange):
        held.reserve("b", 401)


def test_a_repeated_reservation_of_one_volume_counts_once() -> None:
    held = drive()
    held.reserve("a", 900)
    held.reserve("a", 900)

    assert held.allocated == 900


def test_expanding_needs_only_the_difference() -> None:
    held = drive(volume(capacity=400))

    held.reserve("pvc-1", 900)

    assert held.free == 0
    held.release("pvc-1")
    assert held.free == 500


def test_a_removed_volume_keeps_its_space_until_it_is_purged() -> None:
    held = drive(volume(capacity=400))

    held.retire("pvc-1", remains=True)

    assert (held.free, held.purging, dict(held.volumes)) == (500, ("pvc-1",), {})
    held.purged("pvc-1")
    assert (held.free, held.purging) == (900, ())


def test_a_volume_made_again_while_its_remains_are_purged_counts_beside_them() -> None:
    held = drive(volume(capacity=400))
    held.retire("pvc-1", remains=True)

    held.put(volume(capacity=300))

    assert held.allocated == 700


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda d: d.put(volume("new")), id="volume made"),
        pytest.param(lambda d: d.put(volume(capacity=200)), id="volume grown"),
        pytest.param(lambda d: d.retire("pvc-1", remains=True), id="volume removed"),
        pytest.param(lambda d: d.set_use("pvc-1", VolumeUse(staged="/s")), id="volume staged"),
        pytest.param(lambda d: d.change(unschedulable=True), id="cordoned"),
        pytest.param(lambda d: d.set_state(DriveStatus.LOST, (), readable=False), id="lost"),
        pytest.param(lambda d: d.set_state(DriveStatus.READY, (), readable=False), id="unreadable"),
    ],
)
def test_a_change_makes_the_generation_grow(change: object) -> None:
    held = drive(volume())
    before = held.generation

    change(held)  # type: ignore[operator]

    assert held.generation > before


@pytest.mark.parametrize(
    "repeat",
    [
        pytest.param(lambda d: d.put(volume()), id="same record"),
        pytest.param(lambda d: d.set_use("pvc-1", VolumeUse()), id="same use"),
        pytest.param(lambda d: d.change(device=""), id="same device"),
        pytest.param(lambda d: d.purged("never-there"), id="nothing purged"),
        pytest.param(lambda d: d.set_state(DriveStatus.READY, (), readable=True), id="same state"),
    ],
)
def test_what_changes_nothing_does_not(repeat: object) -> None:
    held = drive(volume())
    before = held.generation

    repeat(held)  # type: ignore[operator]

    assert held.generation == before


def test_a_condition_that_stays_keeps_the_time_when_it_began() -> None:
    def seen(since: str) -> tuple[Condition, ...]:
        return (Condition(type=ConditionType.IO_ERROR, message="EIO", since=since),)

    held = drive()
    held.set_state(DriveStatus.ERROR, seen("yesterday"), readable=False)
    generation = held.generation

    held.set_state(DriveStatus.ERROR, seen("today"), readable=False)

    assert held.record.conditions[0].since == "yesterday"
    assert held.generation == generation


@pytest.mark.parametrize("status", [DriveStatus.LOST, DriveStatus.ERROR, DriveStatus.REPAIRING])
def test_volumes_of_a_broken_drive_are_not_worked_on_and_the_error_says_why(status: DriveStatus) -> None:
    held = drive(volume())
    condition = Condition(type=ConditionType.IO_ERROR, message="cable out", since="")
    held.set_state(status, (condition,), readable=True)

    with pytest.raises(FailedPrecondition, match=f"{FSUUID}.*{status}.*cable out"):
        held.check_usable()


def test_a_volume_is_suspended_by_its_own_label_or_its_drives() -> None:
    suspended = {SUSPEND: "true"}

    assert drive(volume(labels=suspended)).suspended("pvc-1")
    assert drive(volume(), labels=suspended).suspended("pvc-1")
    assert not drive(volume(labels={SUSPEND: "false"})).suspended("pvc-1")


def test_the_report_of_a_lost_drive_keeps_its_volumes_and_says_that_it_cannot_be_read() -> None:
    held = drive(volume())
    held.set_state(DriveStatus.LOST, (), readable=False)

    report = held.held()

    assert not report.readable
    assert [v.record.name for v in report.volumes] == ["pvc-1"]


def test_operations_outdate_what_was_read_before_but_looks_do_not() -> None:
    held = drive(volume())
    before = held.changes

    held.change(device="sdc")
    held.set_state(DriveStatus.ERROR, (), readable=False)
    assert held.changes == before
    held.put(volume("new"))
    held.set_use("new", VolumeUse(staged="/s"))
    held.retire("new", remains=True)
    held.purged("new")

    assert held.changes == before + 4
