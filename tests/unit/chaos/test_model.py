"""When the chaos takes a drive for well, and what it must keep then."""

import pytest

from chaos.model import History
from chaos.schedule import Kind

DRIVE = "drive-1"


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
