"""When the chaos takes a drive for well, and what it must keep then."""

import pytest

from chaos.kinds import Kind
from chaos.model import BUS, CALL_SECONDS, QUIET_SECONDS, RECONNECT_SECONDS, History, Volume, agent_of, suspension
from directpv_common.protocol.messages import DriveRecord, HeldDrive, HeldVolume, VolumeRecord

DRIVE = "drive-1"
MIB = 1024 * 1024


@pytest.fixture
def history() -> History:
    return History()


def say(history: History, *times: float, well: bool = True) -> None:
    for time in times:
        history.said(DRIVE, time, well=well)


def test_a_drive_is_well_for_as_long_as_its_agent_said_so_and_not_for_as_long_as_it_was_silent(
    history: History,
) -> None:
    assert history.said_for(DRIVE, well=True) == 0
    say(history, 10, 12, 40)
    assert history.said_for(DRIVE, well=True) == 30


def test_what_was_said_before_a_fault_or_during_it_says_nothing_about_the_time_after_it(history: History) -> None:
    say(history, 10, 40)
    fault = history.begin(DRIVE, Kind.FAIL, 41)
    say(history, 42, 44)
    assert history.said_for(DRIVE, well=True) == 0
    fault.end(50)
    say(history, 49, 51, 55)
    assert history.said_for(DRIVE, well=True) == 4


def test_a_drive_that_is_said_to_be_held_or_broken_begins_anew(history: History) -> None:
    say(history, 10, 40)
    say(history, 41, 44, well=False)
    assert (history.said_for(DRIVE, well=True), history.said_for(DRIVE, well=False)) == (0, 3)
    say(history, 46)
    assert (history.said_for(DRIVE, well=True), history.said_for(DRIVE, well=False)) == (0, 0)


def test_the_end_of_one_fault_is_not_the_end_of_another(history: History) -> None:
    history.begin(DRIVE, Kind.FAIL_READS, 10)
    history.begin(DRIVE, Kind.STOP, 12).end(13)

    assert not history.well(DRIVE, 14)
    assert not history.must_keep(DRIVE, 14)
    say(history, 14, 60)
    assert history.said_for(DRIVE, well=True) == 0


def test_a_write_while_a_drive_hung_must_be_kept_and_one_while_it_failed_need_not(history: History) -> None:
    history.begin(DRIVE, Kind.HANG, 10).end(12)
    assert history.must_keep(DRIVE, 11)
    history.begin(DRIVE, Kind.FAIL_WRITES, 13).end(14)
    assert not history.must_keep(DRIVE, 11)
    assert history.must_keep(DRIVE, 15)


def drive(*volumes: tuple[str, int], purging: tuple[str, ...] = ()) -> HeldDrive:
    """Return what an agent says of a drive that holds volumes of these names and capacities."""
    return HeldDrive(
        record=DriveRecord(fsuuid=DRIVE, node="n1", total=600 * MIB, overhead=0),
        generation=1,
        volumes=tuple(
            HeldVolume(record=VolumeRecord(name=name, fsuuid=DRIVE, capacity=capacity)) for name, capacity in volumes
        ),
        purging=purging,
    )


def test_a_volume_that_only_a_registry_knew_is_unsure_when_that_is_lost_until_its_drive_is_seen_to_hold_it() -> None:
    known, unknown = (Volume(name, 16 * MIB, created=True) for name in ("pvc-1", "pvc-2"))
    known.seen(drive(("pvc-1", 16 * MIB)), 10)
    for volume in (known, unknown):
        volume.registry_lost()
    assert (known.unsure, unknown.unsure) == (False, True)
    unknown.seen(drive(("pvc-2", 16 * MIB)), 20)
    assert not unknown.unsure


def test_a_size_that_only_a_registry_knew_is_lost_with_it_and_one_that_the_drive_knew_is_not() -> None:
    volume = Volume("pvc-1", 24 * MIB, created=True, first=16 * MIB)
    volume.registry_lost()
    assert volume.capacity == 16 * MIB
    volume.capacity = 24 * MIB
    volume.seen(drive(("pvc-1", 16 * MIB)), 10)
    volume.registry_lost()
    assert volume.capacity == 16 * MIB
    volume.seen(drive(("pvc-1", 20 * MIB)), 20)
    volume.capacity = 20 * MIB
    volume.registry_lost()
    assert volume.capacity == 20 * MIB


@pytest.mark.parametrize(
    ("asked", "purging", "returns"),
    [(10.0, (), True), (30.0, ("pvc-1",), True), (30.0, (), False)],
    ids=["asked before", "being removed", "gone"],
)
def test_a_deleted_volume_may_return_after_a_loss_of_the_registry_unless_its_drive_was_seen_without_it(
    asked: float, purging: tuple[str, ...], returns: bool
) -> None:
    volume = Volume("pvc-1", 16 * MIB, created=True, delete_asked=True, deleted=True, deleted_at=20.0)
    volume.seen(drive(purging=purging), asked)
    volume.registry_lost()
    assert volume.may_return is returns


def test_a_pod_surely_finds_its_data_if_neither_its_volume_nor_its_drive_was_suspended_while_it_started(
    history: History,
) -> None:
    volume = Volume("pvc-1", 16 * MIB, drive=DRIVE)
    for what, begin, end in ((volume.name, 10, 20), (DRIVE, 30, 40)):
        fault = history.begin(suspension(what), Kind.SUSPEND, begin)
        assert not history.served(volume, begin + 1)
        fault.end(end)
        assert not history.served(volume, end - 1)
        assert history.served(volume, end + 1)
    assert history.well(DRIVE, 0)


@pytest.mark.parametrize("what", [agent_of("n1"), BUS])
def test_a_call_had_to_be_answered_if_drive_node_and_bus_were_well_while_it_was_repeated(
    history: History, what: str
) -> None:
    volume = Volume("pvc-1", 16 * MIB, drive=DRIVE, node="n1")
    say(history, 100, 100 + QUIET_SECONDS)
    assert not history.had_to_answer(volume, 100 + QUIET_SECONDS)
    now = 100 + QUIET_SECONDS + CALL_SECONDS
    say(history, now)
    assert history.had_to_answer(volume, now)
    fault = history.begin(what, Kind.KILL_AGENT, now - CALL_SECONDS - 1)
    assert not history.had_to_answer(volume, now)
    fault.end(now - CALL_SECONDS)
    assert not history.had_to_answer(volume, now)
    assert history.had_to_answer(volume, now + RECONNECT_SECONDS + 1)
