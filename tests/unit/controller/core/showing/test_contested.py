"""A volume that a drive shows where the registry does not have it is told wherever people look for what is wrong."""

import msgspec
import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import NotFound
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.showing import health, listing
from directpv_controller.core.taking_in.reconcile import lost
from unit.controller.builders import GIB, NOW, committed, drive_record, held, ledger_of, place, volume_record
from unit.controller.reports import replace, report


def ails(ledger: Ledger, name: str) -> list[tuple[str, str]]:
    found = health.volume_health(ledger, m.GetVolumeHealth(name=name)).ailments
    return [(each.effect.value, each.reason) for each in found]


def listed(ledger: Ledger) -> list[str]:
    return [each.name for each in health.list_volume_health(ledger, m.ListVolumeHealth()).volumes]


def twice(drive: m.DriveRecord) -> m.HeldDrive:
    volume = m.HeldVolume(record=volume_record("v1", drive), contested=True)
    return replace(held(drive), volumes=(volume,))


def test_a_volume_that_two_drives_show_and_the_registry_does_not_know_is_unwell_though_there_is_no_such_volume() -> (
    None
):
    first, second = drive_record(10 * GIB), drive_record(9 * GIB)
    ledger = ledger_of(first, second)
    with pytest.raises(NotFound):
        ails(ledger, "v1")
    for drive in (first, second):
        report(ledger, twice(drive))

    (ailment,) = health.volume_health(ledger, m.GetVolumeHealth(name="v1")).ailments
    assert (ailment.effect, ailment.reason) == (m.Effect.INACCESSIBLE, "VolumeContested")
    assert all(drive.fsuuid in ailment.message for drive in (first, second))
    assert "take the copy away" in ailment.message
    assert listed(ledger) == ["v1"], "once, though two drives show it"
    shown = listing.list_drives(ledger, m.ListDrives()).drives
    assert [(each.contested, each.contesting) for each in shown] == [({"v1": ""}, 1)] * 2


def test_a_copy_of_a_volume_that_is_served_makes_it_degraded_until_the_copy_is_gone() -> None:
    first, second = drive_record(10 * GIB), drive_record(9 * GIB)
    ledger = ledger_of(first, second)
    record = place(ledger).record
    report(ledger, held(first, record))
    report(ledger, held(second, replace(record, fsuuid=second.fsuuid)))

    name = record.name
    assert ails(ledger, name) == [("Degraded", "VolumeHasCopy")]
    assert listed(ledger) == [name]
    (info,) = listing.list_volumes(ledger, m.ListVolumes()).volumes
    assert info.abnormal
    assert f"away from drive {second.fsuuid}" in info.condition

    report(ledger, held(second, generation=2))
    assert (ails(ledger, name), listed(ledger), ledger.contested) == ([], [], {})


def test_the_copy_of_a_volume_that_its_own_drive_lacks_may_be_the_volume_and_that_is_told_once_both_were_read() -> None:
    first, second = drive_record(10 * GIB), drive_record(9 * GIB, node="n2")
    ledger = ledger_of(first, second)
    record = place(ledger).record
    report(ledger, held(second, replace(record, fsuuid=second.fsuuid)), node="n2")
    assert ails(ledger, record.name) == []
    report(ledger, held(first))
    assert ails(ledger, record.name) == [("Inaccessible", "VolumeContested")]


def test_what_a_drive_has_under_the_name_of_a_volume_made_since_is_told_as_that() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    report(ledger, held(drive, volume_record("v1", drive, incarnation="bb02")))
    report(ledger, held(drive, volume_record("v1", drive, incarnation="aa01"), generation=2))

    (ailment,) = health.volume_health(ledger, m.GetVolumeHealth(name="v1")).ailments
    assert ailment.reason == "VolumeContested"
    assert "has another volume under that name" in ailment.message


@pytest.mark.parametrize("how", ["unreadable", "lost", "gone"])
def test_what_a_drive_showed_that_is_away_is_not_told_any_more(how: str) -> None:
    first, second = drive_record(10 * GIB), drive_record(9 * GIB)
    ledger = ledger_of(first, second)
    for drive in (first, second):
        report(ledger, twice(drive))
    if how == "unreadable":
        report(ledger, msgspec.structs.replace(held(second, generation=2), readable=False))
    elif how == "lost":
        for change in lost(ledger, ledger.drives[second.fsuuid], NOW).changes:
            committed(change)
    else:
        ledger.leave(ledger.drives[second.fsuuid])

    (ailment,) = health.volume_health(ledger, m.GetVolumeHealth(name="v1")).ailments
    assert "may be a copy of what was on another drive" in ailment.message
    assert ledger.contested == {"v1": {first.fsuuid}}
