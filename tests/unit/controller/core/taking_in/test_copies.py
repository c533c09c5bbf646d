"""Drives with a volume of one name, on one node or two, and volumes of one name made one after the other."""

import pytest

import directpv_common.protocol.messages as m
from directpv_controller.core.placing.wanted import wanted_from
from directpv_controller.core.taking_in.reconcile import take_in
from unit.controller.builders import GIB, committed, drive_record, held, ledger_of, place, request, volume_record
from unit.controller.reports import BOOT, replace, report, told


def test_a_volume_found_on_a_second_drive_takes_space_there_and_is_left_alone() -> None:
    first, second = drive_record(10 * GIB), drive_record(9 * GIB)
    ledger = ledger_of(first, second)
    volume = place(ledger)
    assert volume.record.fsuuid == first.fsuuid
    outcome = report(ledger, held(second, replace(volume.record, fsuuid=second.fsuuid)))

    assert told(outcome) == ["volume.conflict"]
    assert (outcome.remove, outcome.prepare) == ([], [volume.record]), "the node is told where the volume is"
    assert ledger.drives[second.fsuuid].free == 8 * GIB
    assert [text for text in ledger.check() if "belong to another drive" in text]

    report(ledger, held(second, generation=2))
    assert ledger.drives[second.fsuuid].free == 9 * GIB
    assert ledger.check() == []


# ---- incarnations: which of several volumes of one name


FIRST, SECOND = "aa01", "bb02"


def test_a_volume_that_was_removed_is_destroyed_by_its_incarnation_and_never_one_made_since() -> None:
    drive = drive_record()
    first, second = (volume_record("v1", drive, incarnation=each) for each in (FIRST, SECOND))
    ledger = ledger_of(drive)
    report(ledger, held(drive, first))
    committed(ledger.remove(ledger.volumes["v1"]))
    assert report(ledger, held(drive, first)).remove == [first]
    assert ledger.may_destroy(first)

    wanted = wanted_from(request("v1"))
    committed(ledger.place(wanted, now="", incarnation=SECOND)[1])

    assert ledger.may_destroy(first), "what was ordered may still be carried out"
    assert not ledger.may_destroy(second)
    assert report(ledger, held(drive, first)).remove == [first], "the drive still has the first"
    found = report(ledger, held(drive, second))
    assert (found.remove, found.prepare, ledger.volumes["v1"].seen) == ([], [], second.capacity)
    assert ledger.check() == []


def test_a_volume_that_the_registry_lacks_is_taken_in_though_an_earlier_one_of_its_name_was_removed() -> None:
    """As after a registry was restored from a copy: its name alone would have it destroyed."""
    drive = drive_record()
    first, second = (volume_record("v1", drive, incarnation=each) for each in (FIRST, SECOND))
    ledger = ledger_of(drive)
    report(ledger, held(drive, first))
    committed(ledger.remove(ledger.volumes["v1"]))

    assert not ledger.may_destroy(second)
    found = report(ledger, held(drive, second))
    assert (found.remove, told(found), ledger.volumes["v1"].record) == ([], ["volume.adopted"], second)
    assert ledger.check() == []


def marked(drive: m.DriveRecord, record: m.VolumeRecord, **fields: object) -> m.HeldDrive:
    """The inventory of a drive whose only volume its node says more about."""
    return replace(held(drive), volumes=(m.HeldVolume(record=record, **fields),))  # type: ignore[arg-type]


def test_a_volume_that_two_drives_have_is_not_taken_in_from_whichever_reports_first() -> None:
    first, second = drive_record(10 * GIB), drive_record(9 * GIB)
    ledger = ledger_of(first, second)
    for drive in (second, first):
        outcome = report(ledger, marked(drive, volume_record("v1", drive), contested=True))
        assert (told(outcome), outcome.remove) == (["volume.conflict"], [])
    assert ledger.volumes == {}
    assert [ledger.drives[drive.fsuuid].free for drive in (first, second)] == [9 * GIB, 8 * GIB], "both take space"


def test_a_node_that_does_not_know_which_copy_is_the_volume_is_told_until_it_does() -> None:
    first, second = drive_record(10 * GIB), drive_record(9 * GIB)
    ledger = ledger_of(first, second)
    record = place(ledger).record
    copy = replace(record, fsuuid=second.fsuuid)
    assert report(ledger, marked(first, record, contested=True)).prepare == [record]
    assert report(ledger, marked(second, copy, contested=True)).prepare == [record]
    assert report(ledger, marked(first, record, stray_of=second.fsuuid)).prepare == [record]
    assert report(ledger, marked(second, copy, stray_of=first.fsuuid)).prepare == []
    assert report(ledger, marked(first, record)).prepare == []


def test_a_copy_on_another_node_is_told_and_no_order_is_given_to_that_node() -> None:
    first, second = drive_record(10 * GIB), drive_record(9 * GIB, node="n2")
    ledger = ledger_of(first, second)
    record = place(ledger).record
    outcome = take_in(ledger, "n2", BOOT, held(second, replace(record, fsuuid=second.fsuuid)))
    assert (told(outcome), outcome.prepare, outcome.remove) == (["volume.conflict"], [], [])


@pytest.mark.parametrize("incarnation", [FIRST, ""])
def test_a_copy_on_another_drive_outlives_the_volume_when_that_is_deleted(incarnation: str) -> None:
    first, second = drive_record(10 * GIB), drive_record(9 * GIB, node="n2")
    ledger = ledger_of(first, second)
    volume = volume_record("v1", first, incarnation=FIRST)
    copy = volume_record("v1", second, incarnation=incarnation)  # a restored backup, for instance
    report(ledger, held(first, volume))
    assert told(report(ledger, held(second, copy), node="n2")) == ["volume.conflict"]
    committed(ledger.mark(ledger.volumes["v1"], deleting=True))
    committed(ledger.remove(ledger.volumes["v1"]))

    outcome = report(ledger, held(second, copy, generation=2), node="n2")

    assert (told(outcome), outcome.remove, ledger.may_destroy(copy)) == (["volume.conflict"], [], False)
    assert ledger.volumes == {}, "a repeated deletion finds nothing"
    assert ledger.drives[second.fsuuid].free == 8 * GIB, "what nobody decided about takes its space"


def test_another_volume_of_the_same_name_that_nobody_removed_is_told_and_left_alone() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    committed(ledger.place(wanted_from(request("v1")), now="", incarnation=SECOND)[1])
    outcome = report(ledger, held(drive, volume_record("v1", drive, incarnation=FIRST)))

    assert (told(outcome), outcome.remove, outcome.prepare) == (["volume.conflict"], [], [])
    assert ledger.volumes["v1"].record.incarnation == SECOND
    assert ledger.drives[drive.fsuuid].free == 8 * GIB, "both take their space"


def test_a_registry_that_knows_no_incarnation_takes_it_from_the_drive_and_the_other_way_round() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    committed(ledger.place(wanted_from(request("old")), now="")[1])
    committed(ledger.place(wanted_from(request("new")), now="", incarnation=SECOND)[1])
    outcome = report(ledger, held(drive, volume_record("old", drive, incarnation=FIRST), volume_record("new", drive)))

    assert ledger.volumes["old"].record.incarnation == FIRST
    assert [record.name for record in outcome.prepare] == ["new"], "its drive is told"
    assert outcome.remove == []
