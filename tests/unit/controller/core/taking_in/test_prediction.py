"""Drives whose disks expect to fail: reported, and cordoned if the policy says so; people have the last word."""

import msgspec
import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import NoCapacity
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.taking_in.outcome import Outcome
from directpv_controller.core.taking_in.reconcile import change_of, take_in
from unit.controller.builders import NOW, committed, drive_record, held, ledger_of, place

replace = msgspec.structs.replace

ILL = (m.Condition(type=m.ConditionType.FAILURE_PREDICTED, message="it says that it fails", since=NOW),)
SLOW = (m.Condition(type=m.ConditionType.SLOW, message="requests take seconds", since=NOW),)


def report(
    ledger: Ledger, drive: m.DriveRecord, conditions: tuple[m.Condition, ...], boot: str = "b1", *, cordon: bool = True
) -> Outcome:
    """Take in that the drive has these conditions, as its node knows it, and commit."""
    known = ledger.drives.get(drive.fsuuid)
    record = replace(known.record if known else drive, conditions=conditions)
    generation = known.generation + 1 if known else 1
    outcome = take_in(ledger, "n1", boot, held(record, generation=generation), cordon_predicted=cordon)
    change = change_of(ledger, [outcome])
    if change is not None:
        change.done()
    return outcome


def told(outcome: Outcome) -> list[str]:
    return [f"{event.noun}.{event.kind}" for event in outcome.events]


def uncordon(ledger: Ledger, drive: m.DriveRecord) -> None:
    _, change = ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, unschedulable=False))
    committed(change)


def cordoned(ledger: Ledger, drive: m.DriveRecord) -> bool:
    return ledger.drives[drive.fsuuid].record.unschedulable


def test_the_drive_takes_no_more_volumes_and_is_told_so() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    outcome = report(ledger, drive, ILL)

    record = ledger.drives[drive.fsuuid].record
    assert outcome.changes[0].writes.drives == (record,)
    assert outcome.update == [record]
    event = next(event for event in outcome.events if event.kind == "cordoned")
    assert (event.subject, event.data) == (drive.fsuuid, {"node": "n1", "cause": "it says that it fails"})
    with pytest.raises(NoCapacity, match="1 cordoned"):
        place(ledger)


def test_the_policy_report_leaves_the_drive_open() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    outcome = report(ledger, drive, ILL, cordon=False)

    assert "drive.cordoned" not in told(outcome)
    assert ledger.drives[drive.fsuuid].record.conditions == ILL
    place(ledger)


def test_another_warning_cordons_nothing() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    report(ledger, drive, SLOW)
    place(ledger)


def test_a_drive_that_a_person_uncordoned_stays_open_while_the_prediction_stands() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    report(ledger, drive, ILL)
    uncordon(ledger, drive)
    assert told(report(ledger, drive, (*ILL, *SLOW))) == ["drive.changed"]
    assert not cordoned(ledger, drive)


def test_a_new_leader_does_not_cordon_again() -> None:
    drive = drive_record()
    first = ledger_of(drive)
    report(first, drive, ILL)
    uncordon(first, drive)
    second = ledger_of(first.drives[drive.fsuuid].record)
    report(second, drive, ILL)
    assert not cordoned(second, drive)


def test_a_restarted_agent_that_has_not_asked_the_disk_yet_does_not_undo_what_a_person_decided() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    report(ledger, drive, ILL)
    uncordon(ledger, drive)
    report(ledger, drive, (), boot="b2")
    report(ledger, drive, ILL, boot="b2")
    assert not cordoned(ledger, drive)


def test_a_registry_that_was_lost_does_not_undo_what_a_person_decided() -> None:
    drive = drive_record()
    first = ledger_of(drive)
    report(first, drive, ILL)
    uncordon(first, drive)
    second = ledger_of()
    report(second, first.drives[drive.fsuuid].record, ILL)
    assert not cordoned(second, drive)


def test_a_drive_that_is_registered_with_the_prediction_is_cordoned() -> None:
    drive = drive_record()
    ledger = ledger_of()
    outcome = report(ledger, drive, ILL)
    assert set(told(outcome)) == {"drive.registered", "drive.cordoned"}
    assert outcome.update == [ledger.drives[drive.fsuuid].record]
    assert cordoned(ledger, drive)


def test_a_prediction_that_ended_and_comes_again_cordons_again() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    report(ledger, drive, ILL)
    report(ledger, drive, ())
    assert cordoned(ledger, drive)
    uncordon(ledger, drive)
    report(ledger, drive, ILL)
    assert cordoned(ledger, drive)
    assert ledger.check() == []


def test_a_drive_that_was_cordoned_already_is_not_told_of_and_can_be_opened() -> None:
    drive = drive_record(unschedulable=True)
    ledger = ledger_of(drive)
    assert "drive.cordoned" not in told(report(ledger, drive, ILL))
    uncordon(ledger, drive)
    report(ledger, drive, (*ILL, *SLOW))
    assert not cordoned(ledger, drive)


def test_a_cordon_that_was_not_committed_is_taken_back_and_tried_again() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    ill = held(replace(drive, conditions=ILL))
    change = change_of(ledger, [take_in(ledger, "n1", "b1", ill, cordon_predicted=True)])
    assert change is not None
    change.undo()
    assert ledger.drives[drive.fsuuid].record == drive

    report(ledger, drive, ILL)
    assert cordoned(ledger, drive)
