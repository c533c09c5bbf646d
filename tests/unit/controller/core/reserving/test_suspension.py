"""Suspending drives and volumes: a label, set and removed by the ledger alone."""

import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol import names
from directpv_common.protocol.errors import Busy, NoCapacity, NotFound
from unit.controller.builders import committed, drive_record, ledger_of, place

SUSPENDED = {names.SUSPEND: "true"}


def test_a_suspended_drive_has_upstreams_label_beside_its_own_until_it_is_resumed() -> None:
    drive = drive_record(labels={"rack": "7"})
    ledger = ledger_of(drive)

    committed(ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, suspended=True))[1])
    assert ledger.drives[drive.fsuuid].record.labels == {"rack": "7", **SUSPENDED}

    committed(ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, suspended=False))[1])
    assert ledger.drives[drive.fsuuid].record.labels == {"rack": "7"}


def test_a_drive_takes_volumes_again_after_it_was_resumed() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    committed(ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, suspended=True))[1])
    with pytest.raises(NoCapacity, match="suspended"):
        place(ledger)

    committed(ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, suspended=False))[1])
    assert place(ledger).record.fsuuid == drive.fsuuid


def test_a_request_that_says_nothing_of_suspension_leaves_it() -> None:
    drive = drive_record(labels=SUSPENDED)
    ledger = ledger_of(drive)

    committed(ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, unschedulable=True, set_labels={"a": "b"}))[1])

    assert ledger.drives[drive.fsuuid].record.labels == {"a": "b", **SUSPENDED}


def test_a_suspended_volume_has_upstreams_label_until_it_is_resumed() -> None:
    ledger = ledger_of(drive_record())
    record = place(ledger).record

    volume, change = ledger.change_volume(m.ChangeVolume(name="v1", suspended=True))
    assert change is not None
    assert [written.labels for written in change.writes.volumes] == [SUSPENDED]
    change.done()
    committed(ledger.change_volume(m.ChangeVolume(name="v1", suspended=False))[1])

    assert volume.record == record
    assert ledger.check() == []


@pytest.mark.parametrize("suspended", [True, False, None])
def test_what_is_as_it_is_asked_for_needs_no_commit(suspended: bool | None) -> None:
    drive = drive_record(labels=SUSPENDED if suspended else {})
    ledger = ledger_of(drive)
    committed(ledger.adopt(ledger.drives[drive.fsuuid], volume(drive, SUSPENDED if suspended else {})))

    assert ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, suspended=suspended))[1] is None
    assert ledger.change_volume(m.ChangeVolume(name="v1", suspended=suspended))[1] is None


def volume(drive: m.DriveRecord, labels: dict[str, str]) -> m.VolumeRecord:
    return m.VolumeRecord(name="v1", fsuuid=drive.fsuuid, capacity=1, labels=labels)


def test_a_suspension_that_was_not_recorded_is_taken_back() -> None:
    ledger = ledger_of(drive_record())
    place(ledger)

    volume, change = ledger.change_volume(m.ChangeVolume(name="v1", suspended=True))
    assert change is not None
    with pytest.raises(Busy):
        ledger.change_volume(m.ChangeVolume(name="v1", suspended=False))
    change.undo()

    assert volume.record.labels == {}


def test_a_volume_that_is_unknown_or_being_deleted_is_not_suspended() -> None:
    ledger = ledger_of(drive_record())
    committed(ledger.mark(place(ledger), deleting=True))

    for name in ("v1", "v2"):
        with pytest.raises(NotFound):
            ledger.change_volume(m.ChangeVolume(name=name, suspended=True))
