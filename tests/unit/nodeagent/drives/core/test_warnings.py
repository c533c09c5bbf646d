"""Warnings stand beside the state of a drive and do not change it; each fault has advice."""

import pytest

from directpv_common.protocol.messages import Condition, ConditionType, DriveRecord, DriveStatus
from directpv_nodeagent.drives.core.advice import advice_for
from directpv_nodeagent.drives.core.standing import fullness
from directpv_nodeagent.drives.core.states import TABLE, Observation
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.view import Contents, DriveView

FSUUID = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"
MIB = 1024 * 1024
FAULT = Condition(type=ConditionType.IO_ERROR, message="broken", since="t0")


@pytest.fixture
def drive() -> Drive:
    record = DriveRecord(fsuuid=FSUUID, node="n1", total=1000, overhead=10, device="sdb")
    view = DriveView("/root", FSUUID, "8:16", "sdb", enforced=True)
    return Drive(Contents(view, record, {}, {}, {}, {}))


def kinds(drive: Drive) -> list[ConditionType]:
    return [condition.type for condition in drive.record.conditions]


def test_a_drive_with_a_warning_stays_ready_and_usable(drive: Drive) -> None:
    assert drive.set_warning(ConditionType.SLOW, "requests take 2 s", "t1")

    assert kinds(drive) == [ConditionType.SLOW]
    assert drive.record.status is DriveStatus.READY
    drive.check_usable()


def test_a_warning_lasts_through_changes_of_state(drive: Drive) -> None:
    drive.set_warning(ConditionType.SLOW, "slow", "t1")
    drive.set_state(DriveStatus.ERROR, (FAULT,), readable=False)
    assert kinds(drive) == [ConditionType.IO_ERROR, ConditionType.SLOW]
    assert drive.faults == (FAULT,)

    drive.set_state(DriveStatus.READY, (), readable=True)

    assert kinds(drive) == [ConditionType.SLOW]


def test_a_warning_that_ends_leaves_faults_and_other_warnings(drive: Drive) -> None:
    drive.set_state(DriveStatus.ERROR, (FAULT,), readable=False)
    drive.set_warning(ConditionType.SLOW, "slow", "t1")
    drive.set_warning(ConditionType.FULL, "full", "t1")

    assert drive.set_warning(ConditionType.SLOW, "", "t2")

    assert kinds(drive) == [ConditionType.IO_ERROR, ConditionType.FULL]


def test_the_same_warning_again_is_no_news_and_keeps_the_time_when_it_began(drive: Drive) -> None:
    drive.set_warning(ConditionType.FULL, "10 left", "t1")
    generation = drive.generation

    assert not drive.set_warning(ConditionType.FULL, "10 left", "t2")
    assert drive.generation == generation
    assert drive.set_warning(ConditionType.FULL, "9 left", "t3")
    assert drive.record.conditions[0].since == "t1"


@pytest.mark.parametrize("status", DriveStatus)
@pytest.mark.parametrize("observation", Observation)
def test_every_fault_that_is_told_of_comes_with_advice(status: DriveStatus, observation: Observation) -> None:
    if TABLE[status][observation].event in ("lost", "error"):
        assert "{" not in advice_for(observation, FSUUID)
        assert len(advice_for(observation, FSUUID)) > 20


@pytest.mark.parametrize(
    ("on_disk", "free", "words"),
    [
        pytest.param(500 * MIB, 500 * MIB, "", id="all that is promised is there"),
        pytest.param(495 * MIB, 500 * MIB, "", id="metadata took a little"),
        pytest.param(100 * MIB, 500 * MIB, "something beside volumes", id="others took space"),
        pytest.param(1 * MIB, 0, "left", id="nothing is left at all"),
        pytest.param(100 * MIB, 0, "", id="all is given away, and not used up"),
    ],
)
def test_a_drive_is_full_when_space_is_missing_that_should_be_there(on_disk: int, free: int, words: str) -> None:
    said = fullness(on_disk, free, 1000 * MIB)
    assert words in said
    assert bool(said) == bool(words)
