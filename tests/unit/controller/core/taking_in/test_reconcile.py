"""What a drive's inventory means: the drive is the truth about itself, and absence proves little."""

import random
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import NoCapacity, Unavailable
from directpv_common.protocol.names import AccessTier
from directpv_controller.core.placing.model import Drive, Snapshot
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.taking_in.reconcile import change_of, lost, take_in
from unit.controller.builders import GIB, NOW, committed, drive_record, held, ledger_of, place, volume_record
from unit.controller.reports import BOOT, replace, report, told


def test_a_drive_that_the_registry_does_not_know_is_registered_with_its_volumes_and_its_own_decisions() -> None:
    drive = drive_record(unschedulable=True, access_tier=AccessTier.HOT, labels={"a": "b"})
    volume = volume_record("v1", drive, 2 * GIB, parameters={"x": "y"})
    ledger = ledger_of()
    outcome = report(ledger, held(drive, volume, uses={"v1": m.VolumeUse(staged="/s")}))

    assert told(outcome) == ["drive.registered", "volume.adopted"]
    assert ledger.drives[drive.fsuuid].record == drive
    assert ledger.volumes["v1"].record == volume
    assert ledger.volumes["v1"].use == m.VolumeUse(staged="/s")
    assert ledger.drives[drive.fsuuid].free == 8 * GIB
    assert ledger.check() == []


def test_a_registration_that_fails_is_tried_again_with_everything_on_the_drive() -> None:
    drive = drive_record()
    ledger = ledger_of()
    change = change_of(ledger, [take_in(ledger, "n1", BOOT, held(drive, volume_record("v1", drive)))])
    assert change is not None
    change.undo()
    assert (ledger.drives, ledger.volumes) == ({}, {})

    report(ledger, held(drive, volume_record("v1", drive)))
    assert list(ledger.volumes) == ["v1"]


def test_a_drive_of_another_node_is_a_conflict_and_changes_nothing() -> None:
    drive = drive_record(node="n1")
    ledger = ledger_of(drive)
    outcome = report(ledger, held(drive, volume_record("v1", drive)), node="n2")

    assert told(outcome) == ["drive.conflict"]
    assert ledger.drives[drive.fsuuid].record == drive
    assert ledger.volumes == {}


def test_what_the_node_observes_is_recorded() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    broken = replace(drive, status=m.DriveStatus.ERROR, device="sdz", total=drive.total + GIB)
    outcome = report(ledger, held(broken, generation=2))

    assert ledger.drives[drive.fsuuid].record == broken
    assert outcome.changes[0].writes.drives == (broken,)
    with pytest.raises(NoCapacity, match="1 error"):
        place(ledger)


def test_a_drive_that_is_well_again_takes_volumes_again() -> None:
    drive = drive_record(status=m.DriveStatus.LOST)
    ledger = ledger_of(drive)
    report(ledger, held(replace(drive, status=m.DriveStatus.READY)))

    place(ledger)


def test_a_drive_that_grew_has_more_to_give_at_once_and_its_overhead_is_not_given() -> None:
    drive = drive_record(2 * GIB)
    ledger = ledger_of(drive)
    place(ledger, "v1", 2 * GIB)
    grown = replace(drive, total=drive.total + 10 * GIB, overhead=drive.overhead + GIB)
    report(ledger, held(grown, volume_record("v1", drive, 2 * GIB), generation=2))

    assert ledger.drives[drive.fsuuid].free == 9 * GIB
    place(ledger, "v2", 9 * GIB)
    with pytest.raises(NoCapacity):
        place(ledger, "v3", 1)
    assert ledger.check() == []


def test_a_drive_that_became_smaller_than_what_was_promised_keeps_its_volumes_and_is_complained_about() -> None:
    drive = drive_record(10 * GIB)
    ledger = ledger_of(drive)
    place(ledger, "v1", 8 * GIB)
    smaller = replace(drive, total=5 * GIB)
    outcome = report(ledger, held(smaller, volume_record("v1", drive, 8 * GIB), generation=2))

    assert told(outcome) == ["drive.changed", "drive.overcommitted"]
    assert told(report(ledger, held(smaller, volume_record("v1", drive, 8 * GIB), generation=3))) == []
    assert ledger.drives[drive.fsuuid].free == 0
    with pytest.raises(NoCapacity, match="overcommitted"):
        place(ledger, "v2", 1)
    report(ledger, held(drive, volume_record("v1", drive, 8 * GIB), generation=4))
    place(ledger, "v2", 2 * GIB)


def test_decisions_of_people_are_the_registrys_and_the_drive_is_told() -> None:
    drive = drive_record(unschedulable=True, labels={"a": "b"})
    ledger = ledger_of(drive)
    outcome = report(ledger, held(replace(drive, unschedulable=False, labels={}, access_tier=AccessTier.COLD)))

    assert ledger.drives[drive.fsuuid].record == drive
    assert outcome.update == [drive]


def test_a_volume_that_the_drive_lacks_is_prepared() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    volume = place(ledger)

    assert report(ledger, held(drive)).prepare == [volume.record]


def test_a_volume_that_was_there_and_is_gone_is_prepared_and_told_about() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    volume = place(ledger)
    assert told(report(ledger, held(drive, volume.record))) == []
    outcome = report(ledger, held(drive, generation=2))

    assert told(outcome) == ["volume.missing"]
    assert outcome.prepare == [volume.record]


def test_a_volume_with_an_older_size_or_other_labels_is_prepared() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    volume = place(ledger, required=3 * GIB)

    assert report(ledger, held(drive, volume.record)).prepare == []
    assert report(ledger, held(drive, replace(volume.record, capacity=GIB))).prepare == [volume.record]
    assert report(ledger, held(drive, replace(volume.record, labels={"a": "b"}))).prepare == [volume.record]


def test_nothing_is_concluded_from_absence_on_a_drive_that_cannot_be_read() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    kept, leaving = place(ledger, "v1"), place(ledger, "v2")
    committed(ledger.mark(leaving, deleting=True))
    kept.seen, kept.use = GIB, m.VolumeUse(staged="/s")
    broken = replace(drive, status=m.DriveStatus.LOST)
    outcome = report(ledger, held(broken, readable=False))

    assert (outcome.prepare, outcome.remove, told(outcome)) == ([], [], ["drive.changed"])
    assert (kept.seen, kept.use) == (GIB, m.VolumeUse(staged="/s"))
    assert set(ledger.volumes) == {"v1", "v2"}


def test_volumes_being_deleted_are_ordered_to_be_removed_even_if_the_drive_lacks_them() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    there, gone = place(ledger, "v1"), place(ledger, "v2")
    for volume in (there, gone):
        committed(ledger.mark(volume, deleting=True))
    outcome = report(ledger, held(drive, there.record))

    assert outcome.remove == [there.record, gone.record]
    assert outcome.prepare == []
    assert set(ledger.volumes) == {"v1", "v2"}


def test_a_volume_that_its_drive_is_purging_is_waited_for() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    committed(ledger.mark(place(ledger), deleting=True))
    outcome = report(ledger, held(drive, purging=("v1",)))

    assert (outcome.remove, outcome.prepare, outcome.unsettled) == ([], [], True)


def test_an_inventory_from_before_a_removal_does_not_bring_the_volume_back() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    volume = place(ledger)
    committed(ledger.remove(volume))
    outcome = report(ledger, held(drive, volume.record))

    assert ledger.volumes == {}
    assert [record.name for record in outcome.remove] == ["v1"]


def test_an_older_generation_of_the_same_boot_is_ignored() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    report(ledger, held(drive, generation=5))
    report(ledger, held(drive, volume_record("v1", drive), generation=4))
    assert ledger.volumes == {}

    report(ledger, held(drive, volume_record("v1", drive), generation=1), boot="boot-2")
    assert list(ledger.volumes) == ["v1"]


def test_a_volume_that_is_larger_on_its_drive_is_raised_if_it_fits() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    volume = place(ledger)
    outcome = report(ledger, held(drive, replace(volume.record, capacity=4 * GIB)))

    assert told(outcome) == ["volume.raised"]
    assert volume.record.capacity == 4 * GIB
    assert ledger.drives[drive.fsuuid].free == 6 * GIB


def test_a_volume_that_is_larger_than_its_drive_allows_is_told_about() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    volume = place(ledger)
    outcome = report(ledger, held(drive, replace(volume.record, capacity=11 * GIB)))

    assert told(outcome) == ["volume.oversized"]
    assert volume.record.capacity == GIB
    assert ledger.check() == []


def test_adopted_volumes_that_exceed_the_drive_close_it_and_are_complained_about() -> None:
    drive = drive_record(GIB)
    ledger = ledger_of(drive)
    outcome = report(ledger, held(drive, volume_record("v1", drive, 2 * GIB)))

    assert told(outcome) == ["volume.adopted", "drive.overcommitted"]
    assert [text for text in ledger.check() if "promised" in text]
    with pytest.raises(NoCapacity, match="overcommitted"):
        place(ledger, "v2", 1)

    committed(ledger.remove(ledger.volumes["v1"]))
    place(ledger, "v2", 1)
    assert ledger.check() == []


def test_a_volume_whose_change_is_not_committed_is_looked_at_later() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    volume = place(ledger)
    change = ledger.mark(volume, deleting=True)
    outcome = take_in(ledger, "n1", BOOT, held(drive))

    assert (outcome.prepare, outcome.remove, outcome.unsettled) == ([], [], True)
    change.undo()
    assert report(ledger, held(drive)).prepare == [volume.record]


def test_a_drive_that_its_node_does_not_report_is_lost_until_it_is_reported_again() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    outcome = lost(ledger, ledger.drives[drive.fsuuid], NOW)
    committed(change_of(ledger, [outcome]))
    assert told(outcome) == ["drive.lost"]
    (condition,) = ledger.drives[drive.fsuuid].record.conditions
    assert (condition.type, condition.since) == (m.ConditionType.LOST, NOW)
    with pytest.raises(NoCapacity, match="1 lost"):
        place(ledger)

    report(ledger, held(drive))
    place(ledger)
    assert ledger.drives[drive.fsuuid].record.conditions == ()


def test_a_drive_that_no_device_carries_keeps_the_name_that_it_had_last_until_it_has_another() -> None:
    drive = drive_record(device="sdb")
    ledger = ledger_of(drive)
    report(ledger, held(drive))
    known = ledger.drives[drive.fsuuid]
    committed(change_of(ledger, [lost(ledger, known, NOW)]))
    assert (known.record.device, known.record.last_device) == ("", "sdb")
    committed(change_of(ledger, [lost(ledger, known, NOW)]))
    assert known.record.last_device == "sdb", "however often it is said"

    report(ledger, held(replace(drive, device="sdc"), generation=2))
    assert (known.record.device, known.record.last_device) == ("sdc", "")
    report(ledger, held(replace(drive, device="", status=m.DriveStatus.LOST), generation=3))
    assert (known.record.device, known.record.last_device) == ("", "sdc"), "its agent says so itself"


def test_a_drive_that_could_not_be_read_yet_may_have_any_volume_until_it_is_read() -> None:
    drive = drive_record(status=m.DriveStatus.ERROR)
    ledger = ledger_of()
    report(ledger, held(drive, readable=False))
    with pytest.raises(Unavailable, match=drive.fsuuid):
        ledger.require_read("v1")
    reloaded = Ledger.load(Snapshot([ledger.drives[drive.fsuuid].record], []), random.random)
    with pytest.raises(Unavailable):
        reloaded.require_read("v1")

    well = replace(drive, status=m.DriveStatus.READY)
    report(ledger, held(well, volume_record("v1", drive)))
    ledger.require_read("v2")
    report(ledger, held(replace(drive, status=m.DriveStatus.ERROR), readable=False))
    ledger.require_read("v2")


class Unwalked(dict[str, Drive]):
    """Drives of which each may be asked for; nobody may look at all of them."""

    def values(self) -> Any:
        raise AssertionError("somebody looks at every drive of the cluster")

    __iter__ = keys = items = values


def test_that_a_volume_is_gone_is_told_without_looking_at_every_drive() -> None:
    ledger, lost_one = ledger_of(drive_record(), drive_record()), drive_record(status=m.DriveStatus.ERROR)
    another = ledger_of(drive_record())
    report(another, held(lost_one, readable=False))
    for each in (ledger, another):
        assert each.check() == []
        each.drives = Unwalked(each.drives)

    ledger.require_read("v1")
    with pytest.raises(Unavailable, match=lost_one.fsuuid):
        another.require_read("v1")


def test_a_record_that_was_taken_back_is_written_again() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    _, cordon = ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, unschedulable=True))
    assert cordon is not None
    cordon.undo()

    assert [change.writes.drives for change in report(ledger, held(drive)).changes] == [(drive,)]
    assert report(ledger, held(drive)).changes == []
