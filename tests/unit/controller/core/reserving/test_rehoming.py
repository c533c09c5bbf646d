"""A drive becomes another node's with all that is on it, and comes back if that cannot be kept."""

import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol import names
from directpv_common.protocol.wire import decode, encode
from directpv_controller.core.placing.model import UNKNOWN, Snapshot
from directpv_controller.core.placing.wanted import wanted_from
from directpv_controller.core.reserving import moving, retiring
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.reserving.rehoming import objection, welcomed
from directpv_controller.core.showing.listing import list_volumes
from directpv_controller.core.taking_in.reconcile import take_in
from unit.controller.builders import GIB, NOW, committed, drive_record, held, ledger_of, place, request
from unit.controller.reports import BOOT, replace, report, told

LOST, READY = m.DriveStatus.LOST, m.DriveStatus.READY


@pytest.mark.parametrize(
    ("node", "status", "online", "dangerous", "why"),
    [
        ("n1", READY, True, False, ""),
        ("n2", LOST, True, False, ""),
        ("n2", READY, True, True, "is online and has drive"),
        ("n2", m.DriveStatus.ERROR, True, True, "is online and has drive"),
        ("n2", LOST, False, False, "--dangerous"),
        ("n2", READY, False, False, "--dangerous"),
        ("n2", READY, False, True, ""),
    ],
)
def test_a_drive_stays_where_its_disk_may_be_mounted(
    node: str, status: m.DriveStatus, online: bool, dangerous: bool, why: str
) -> None:
    found = objection(drive_record(status=status), node, online=online, dangerous=dangerous)
    assert (why in found) if why else not found


def test_a_drive_that_moved_is_the_other_nodes_lost_until_that_one_reports_it() -> None:
    drive = drive_record(3 * GIB)
    ledger = ledger_of(drive)
    volume = place(ledger)
    report(ledger, held(drive, volume.record, uses={"v1": m.VolumeUse(staged="/s")}))
    assert volume.use is not None
    committed(ledger.rehome(ledger.drives[drive.fsuuid], "n2", NOW))

    moved = ledger.drives[drive.fsuuid]
    assert (moved.record.node, moved.record.status, moved.record.device) == ("n2", LOST, "")
    assert moved.record.topology[names.NODE] == "n2"
    assert (volume.use, moved.open, [*ledger.nodes["n2"].drives]) == (None, False, [drive.fsuuid])
    assert ledger.check() == []

    outcome = report(ledger, held(replace(drive, node="n2", device="sdx"), volume.record), "n2", "boot-2")
    assert "drive.conflict" not in told(outcome)
    assert (moved.record.status, moved.record.device, ledger.volumes["v1"] is volume) == (READY, "sdx", True)
    place(ledger, "v2")
    assert ledger.check() == []


def test_a_move_that_cannot_be_kept_is_taken_back_and_what_people_decided_meanwhile_stays() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    report(ledger, held(drive))
    known = ledger.drives[drive.fsuuid]
    change = ledger.rehome(known, "n2", NOW)
    committed(ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, unschedulable=True))[1])
    change.undo()
    assert known.record == replace(drive, unschedulable=True)
    assert known.generation == UNKNOWN, "its node is asked again"
    assert [*ledger.nodes["n1"].drives] == [drive.fsuuid]
    assert ledger.check() == []


def test_the_node_that_had_the_disk_is_no_conflict_while_it_only_remembers_it() -> None:
    drive = drive_record(node="n2")
    ledger = ledger_of(drive)
    remembered = replace(drive, node="n1", status=LOST, device="")
    assert told(take_in(ledger, "n1", BOOT, held(remembered, readable=False))) == []
    assert told(take_in(ledger, "n1", BOOT, held(replace(drive, node="n1")))) == ["drive.conflict"]


@pytest.mark.parametrize("noted", [True, False])
def test_a_drive_that_was_given_up_is_taken_in_again_when_somebody_wants_it_back(noted: bool) -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    committed(retiring.give_up(ledger, ledger.drives[drive.fsuuid], m.Wipe.NONE, NOW))
    committed(retiring.close(ledger, ledger.drives[drive.fsuuid], noted=noted, now=NOW))
    report(ledger, held(drive))
    assert not ledger.drives, "not by itself"

    change = welcomed(ledger, drive.fsuuid)
    if not noted:
        assert change is not None
        assert [each.fsuuid for each in change.writes.settled] == [drive.fsuuid]
        change.undo()
        change = welcomed(ledger, drive.fsuuid)
        assert change is not None
        change.done()
    assert told(report(ledger, held(drive))) == ["drive.registered"]


def test_a_moved_drive_takes_no_volumes_before_it_is_reported() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    committed(ledger.rehome(ledger.drives[drive.fsuuid], "n2", NOW))
    assert ledger.index.select(wanted_from(request())) is None


def test_volumes_of_a_drive_that_was_given_up_as_lost_are_taken_in_again_and_not_destroyed() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    volume = place(ledger).record
    kept = replace(volume, incarnation="ab")
    committed(ledger.identify(ledger.volumes["v1"], "ab"))
    lost = replace(drive, status=LOST, device="")
    report(ledger, held(lost, kept, readable=False))
    known = ledger.drives[drive.fsuuid]
    committed(retiring.give_up_lost(ledger, known, NOW))
    committed(retiring.close_lost(ledger, known, NOW))
    assert (ledger.volumes, [*ledger.retired]) == ({}, [drive.fsuuid])

    change = welcomed(ledger, drive.fsuuid)
    assert change is not None
    change.undo()
    assert ledger.is_buried(kept), "as it was"
    committed(welcomed(ledger, drive.fsuuid))
    outcome = report(ledger, held(drive, kept, generation=2))
    assert (outcome.remove, told(outcome)) == ([], ["drive.registered", "volume.adopted"])
    assert ledger.volumes["v1"].record == kept
    assert ledger.check() == []


def given_up_while_being_deleted() -> tuple[Ledger, m.DriveRecord, m.VolumeRecord, m.VolumeRecord]:
    """Return a ledger without the drive, the drive, the volume on it that was deleted before, and one that was not."""
    drive = drive_record()
    ledger = ledger_of(drive)
    gone, kept = (replace(place(ledger, name).record, incarnation="ab") for name in ("v1", "v2"))
    for name in ("v1", "v2"):
        committed(ledger.identify(ledger.volumes[name], "ab"))
    report(ledger, held(replace(drive, status=LOST, device=""), gone, kept, readable=False))
    committed(ledger.mark(ledger.volumes["v1"], deleting=True))
    known = ledger.drives[drive.fsuuid]
    committed(retiring.give_up_lost(ledger, known, NOW))
    change = retiring.close_lost(ledger, known, "2026-09-09T00:00:00Z")
    committed(change)
    (retired,) = change.writes.retired
    assert ([each.name for each in retired.deleting], retired.since) == (["v1"], NOW)
    again = Ledger.load(Snapshot([], [], retired=[decode(encode(retired), m.RetiredDrive)]), lambda: 0.5)
    return again, drive, gone, kept


def test_a_volume_that_was_deleted_before_its_drive_was_given_up_is_destroyed_should_its_drive_be_wanted_back() -> None:
    ledger, drive, gone, kept = given_up_while_being_deleted()
    (away,) = list_volumes(ledger, m.ListVolumes(given_up=True)).volumes
    assert (away.record.name, away.status, away.node) == ("v1", "Deleting", "n1")
    assert retiring.settle(ledger, ledger.retired[drive.fsuuid]) is None, "the disk does not know of the deletion"

    change = welcomed(ledger, drive.fsuuid)
    assert change is not None
    assert [(each.name, each.deleting) for each in change.writes.volumes] == [("v1", True)]
    change.undo()
    assert ([*ledger.volumes], [*ledger.drives], [*ledger.retired]) == ([], [], [drive.fsuuid])
    committed(welcomed(ledger, drive.fsuuid))
    outcome = report(ledger, held(drive, gone, kept, generation=2))

    assert [record.name for record in outcome.remove] == ["v1"]
    assert told(outcome) == ["drive.registered", "volume.adopted"]
    assert [volume.record.name for volume in ledger.volumes.values() if not volume.record.deleting] == ["v2"]
    assert ledger.check() == []


def test_a_later_volume_of_a_name_that_was_deleted_on_a_drive_that_is_wanted_back_is_left_alone() -> None:
    ledger, drive, gone, kept = given_up_while_being_deleted()
    other = drive_record(9 * GIB)
    report(ledger, held(other))
    volume = place(ledger, "v1").record
    committed(welcomed(ledger, drive.fsuuid))

    outcome = report(ledger, held(drive, gone, kept, generation=2))

    assert outcome.remove == []
    assert ledger.volumes["v1"].record == volume
    assert "volume.conflict" in told(outcome)


@pytest.mark.parametrize("which", [0, 1])
def test_a_drive_goes_to_another_node_with_what_a_move_of_a_volume_has_reserved(which: int) -> None:
    records = [drive_record(9 * GIB), drive_record(8 * GIB)]
    ledger = ledger_of(*records)
    volume = place(ledger, "v1", 2 * GIB)
    target = next(record.fsuuid for record in records if record.fsuuid != volume.record.fsuuid)
    committed(moving.begin(ledger, m.MoveVolume(name="v1", target=target), "0123456789abcdef")[1])
    gone = [volume.record.fsuuid, target][which]
    change = ledger.rehome(ledger.drives[gone], "n2", NOW)
    assert ledger.check() == []
    change.undo()
    assert ledger.check() == []
    committed(ledger.rehome(ledger.drives[gone], "n2", NOW))
    committed(moving.cancel(ledger, "v1")[1])
    committed(moving.settle(ledger, volume))
    assert ledger.check() == []
    assert ledger.drives[target].allocated == GIB
