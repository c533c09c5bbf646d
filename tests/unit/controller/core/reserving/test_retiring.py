"""Giving drives up: which may go, what is written, and what cannot bring one back."""

from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import Busy, FailedPrecondition, NoCapacity, Unavailable
from directpv_controller.core.placing.model import Drive, Snapshot, merged
from directpv_controller.core.reserving import moving, retiring
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.showing.listing import list_drives
from directpv_controller.core.taking_in.reconcile import take_in
from unit.controller.builders import GIB, NOW, committed, drive_record, held, ledger_of, place, volume_record
from unit.controller.reports import BOOT, replace, report, told


def given_up(*, noted: bool) -> tuple[Ledger, m.DriveRecord, retiring.Change]:
    record = drive_record()
    ledger = ledger_of(record)
    committed(retiring.give_up(ledger, ledger.drives[record.fsuuid], m.Wipe.NONE, NOW))
    change = retiring.close(ledger, ledger.drives[record.fsuuid], noted=noted, now=NOW)
    return ledger, record, change


def only(ledger: Ledger) -> Drive:
    (drive,) = ledger.drives.values()
    return drive


def test_a_drive_with_volumes_is_refused_with_how_many_of_how_many_claims_and_what_to_do() -> None:
    record = drive_record(device="sda")
    ledger = ledger_of(record)
    for name, claim in (("pvc-1", "data-0"), ("pvc-2", "data-0"), ("pvc-3", "")):
        owner = {"pvc_name": claim, "pvc_namespace": "shop"} if claim else {}
        report(ledger, held(record, *ledger_volumes(ledger), volume_record(name, record, **owner)))
    committed(ledger.mark(ledger.volumes["pvc-3"], deleting=True))

    with pytest.raises(FailedPrecondition) as refused:
        retiring.check_removable(only(ledger))

    assert "3 volumes of 1 claim: pvc-1 (shop/data-0), pvc-2 (shop/data-0), pvc-3 (being deleted)" in str(refused.value)
    assert "(sda) on node n1" in str(refused.value)
    assert "kubectl directpv evacuate" in str(refused.value)


def ledger_volumes(ledger: Ledger) -> tuple[m.VolumeRecord, ...]:
    return tuple(volume.record for volume in ledger.volumes.values())


@pytest.mark.parametrize("status", [m.DriveStatus.REPAIRING, m.DriveStatus.MOVING])
def test_a_drive_that_somebody_works_on_is_refused(status: m.DriveStatus) -> None:
    with pytest.raises(FailedPrecondition, match=f"{status}; wait"):
        retiring.check_removable(only(ledger_of(drive_record(status=status))))


@pytest.mark.parametrize("status", [m.DriveStatus.READY, m.DriveStatus.LOST, m.DriveStatus.ERROR])
def test_a_drive_without_volumes_may_go_however_it_is(status: m.DriveStatus) -> None:
    retiring.check_removable(only(ledger_of(drive_record(status=status, unschedulable=True))))


def test_a_drive_of_which_nobody_knows_what_is_on_it_is_refused() -> None:
    with pytest.raises(FailedPrecondition, match="never be read"):
        retiring.check_removable(only(ledger_of(drive_record(unread=True))))
    ledger = ledger_of(drive_record())
    ledger.set_partial(only(ledger), True)
    with pytest.raises(Unavailable):
        retiring.check_removable(only(ledger))
    ledger = ledger_of(drive_record())
    ledger.set_strays(only(ledger), GIB)
    with pytest.raises(FailedPrecondition, match=r"1 GiB of volumes"):
        retiring.check_removable(only(ledger))


def test_a_drive_that_is_given_up_takes_no_volumes_and_stays_so_whatever_its_node_says() -> None:
    record = drive_record()
    ledger = ledger_of(record)
    change = retiring.give_up(ledger, only(ledger), m.Wipe.ZERO, NOW)
    committed(change)

    report(ledger, held(replace(record, status=m.DriveStatus.READY, device="sdz"), generation=2))

    assert (only(ledger).record.status, only(ledger).record.removal) == ("Removed", "zero")
    assert only(ledger).record.device == "sdz"
    with pytest.raises(NoCapacity):
        place(ledger)
    assert retiring.give_up(ledger, only(ledger), m.Wipe.ZERO, NOW) is None
    assert ledger.check() == []


def test_a_drive_that_is_kept_is_asked_for_and_is_what_its_node_says() -> None:
    record = drive_record()
    ledger = ledger_of(record)
    report(ledger, held(record))
    committed(retiring.give_up(ledger, only(ledger), m.Wipe.NONE, NOW))
    committed(retiring.keep(ledger, only(ledger), "somebody uses it", NOW))
    assert only(ledger).generation == -1
    assert not retiring.is_given_up(only(ledger))

    report(ledger, held(record))

    assert only(ledger).record == record


@pytest.mark.parametrize("noted", [True, False])
def test_a_drive_that_was_let_go_of_is_gone_and_what_was_said_of_it_before_brings_it_not_back(noted: bool) -> None:
    ledger, record, change = given_up(noted=noted)

    assert [each.fsuuid for each in change.writes.gone] == [record.fsuuid]
    assert [each.fsuuid for each in change.writes.retired] == ([] if noted else [record.fsuuid])
    committed(change)
    outcome = take_in(ledger, "n1", BOOT, held(record, volume_record("v1", record)))
    assert (told(outcome), outcome.changes) == ([], [])
    assert (ledger.drives, ledger.volumes) == ({}, {})
    assert ledger.check() == []


@pytest.mark.parametrize("noted", [True, False])
def test_what_could_not_be_committed_is_as_before(noted: bool) -> None:
    ledger, _, change = given_up(noted=noted)
    change.undo()

    assert only(ledger).record.status is m.DriveStatus.REMOVED
    assert (ledger.retired, ledger.leaving, ledger.past) == ({}, {}, {})
    assert ledger.check() == []


def test_a_drive_whose_disk_could_not_be_told_is_remembered_until_it_was() -> None:
    _, record, change = given_up(noted=False)
    committed(change)
    (retired,) = change.writes.retired
    again = Ledger.load(Snapshot([], [], retired=[retired]), lambda: 0.5)
    assert retiring.is_not_taken_in(again, record.fsuuid)

    settled = retiring.settle(again, retired)
    assert settled.writes.settled == (retired,)
    assert again.retired == {}
    settled.undo()
    assert again.retired == {record.fsuuid: retired}


def test_a_drive_that_the_registry_still_has_is_not_retired() -> None:
    record = drive_record()
    retired = m.RetiredDrive(fsuuid=record.fsuuid, node="n1")
    ledger = Ledger.load(Snapshot([record], [], retired=[retired]), lambda: 0.5)

    assert ledger.retired == {}
    assert not retiring.is_not_taken_in(ledger, record.fsuuid)


def test_a_node_that_gives_a_drive_up_for_another_registry_does_not_make_it_given_up_here() -> None:
    record = drive_record()
    ledger = ledger_of()
    report(ledger, held(replace(record, status=m.DriveStatus.REMOVED), volume_record("v1", record), readable=False))

    assert only(ledger).record.status is m.DriveStatus.ERROR


def test_several_changes_of_which_one_takes_a_drive_away_are_one() -> None:
    ledger, record, change = given_up(noted=False)
    both = merged([change, ledger.register(drive_record())], ledger.busy)

    assert both is not None
    assert [each.fsuuid for each in both.writes.gone] == [record.fsuuid]
    assert [each.fsuuid for each in both.writes.retired] == [record.fsuuid]
    assert len(both.writes.drives) == 1


# ---- with volumes


def dead(*names: str, status: m.DriveStatus = m.DriveStatus.LOST) -> tuple[Ledger, m.DriveRecord]:
    record = drive_record(status=status)
    ledger = ledger_of(record)
    volumes = [volume_record(name, record, pvc_name=f"claim-{name}", pvc_namespace="shop") for name in names]
    report(ledger, held(record, *volumes))
    return ledger, record


@pytest.mark.parametrize("status", [m.DriveStatus.LOST, m.DriveStatus.ERROR])
def test_a_dead_drive_goes_with_its_volumes_and_is_remembered(status: m.DriveStatus) -> None:
    ledger, record = dead("v1", "v2", status=status)
    retiring.check_lost(only(ledger))
    assert [(each.name, each.pvc_name) for each in retiring.told(only(ledger))] == [
        ("v1", "claim-v1"),
        ("v2", "claim-v2"),
    ]
    committed(retiring.give_up_lost(ledger, only(ledger), NOW))
    assert retiring.give_up_lost(ledger, only(ledger), NOW) is None
    retiring.check_lost(only(ledger))

    change = retiring.close_lost(ledger, only(ledger), NOW)

    assert [each.name for each in change.writes.removed] == ["v1", "v2"]
    assert [each.fsuuid for each in change.writes.gone] == [record.fsuuid]
    assert [(each.fsuuid, each.node) for each in change.writes.retired] == [(record.fsuuid, "n1")]
    change.done()
    assert (ledger.drives, ledger.volumes, ledger.busy) == ({}, {}, set())
    assert ledger.check() == []
    assert report(ledger, held(record, volume_record("v1", record))).changes == []
    assert ledger.volumes == {}


@pytest.mark.parametrize("status", [m.DriveStatus.READY, m.DriveStatus.REPAIRING, m.DriveStatus.MOVING])
def test_a_drive_that_is_there_is_not_declared_lost(status: m.DriveStatus) -> None:
    with pytest.raises(FailedPrecondition, match=f"is {status}, and is not given up"):
        retiring.check_lost(only(dead("v1", status=status)[0]))


def test_a_dead_drive_whose_end_could_not_be_committed_is_as_before() -> None:
    ledger, record = dead("v1", "v2")
    retiring.close_lost(ledger, only(ledger), NOW).undo()

    assert only(ledger).record == record
    assert sorted(ledger.volumes) == ["v1", "v2"]
    assert (ledger.retired, ledger.past, ledger.busy) == ({}, {}, set())
    assert ledger.check() == []


def test_a_dead_drive_of_which_a_volume_is_being_changed_waits_for_that() -> None:
    ledger, _ = dead("v1", "v2")
    ledger.mark(ledger.volumes["v2"], deleting=True)
    with pytest.raises(Busy):
        retiring.close_lost(ledger, only(ledger), NOW)
    assert sorted(ledger.volumes) == ["v1", "v2"]


def test_volumes_of_a_drive_that_the_registry_does_not_have_go_too() -> None:
    volume = volume_record("v1", drive_record())
    ledger = Ledger.load(Snapshot([], [volume]), lambda: 0.5)
    retiring.check_lost(only(ledger))
    assert retiring.give_up_lost(ledger, only(ledger), NOW) is None

    change = retiring.close_lost(ledger, only(ledger), NOW)
    assert ([each.name for each in change.writes.removed], change.writes.gone) == (["v1"], ())


def test_who_has_a_claim_on_a_lost_drive_is_told_what_to_do() -> None:
    record = drive_record()
    owner = {"pvc_name": "data-0", "pvc_namespace": "shop", "pod_name": "db-0", "pod_namespace": "shop"}
    told = retiring.farewell(record, volume_record("v1", record, **owner))

    assert told["claim"] == "shop/data-0"
    assert "given up as lost" in told["cause"]
    assert "delete the claim and its pod shop/db-0" in told["advice"]


def being_moved() -> tuple[Ledger, Drive, Drive]:
    """Volume v1, on its way from the first drive to the second one."""
    one, other = drive_record(), drive_record()
    ledger = ledger_of(one, other)
    report(ledger, held(one, volume_record("v1", one)))
    committed(moving.begin(ledger, m.MoveVolume(name="v1", target=other.fsuuid), "m1")[1])
    return ledger, ledger.drives[one.fsuuid], ledger.drives[other.fsuuid]


def test_a_drive_to_which_a_volume_is_being_moved_is_kept() -> None:
    _, _, target = being_moved()
    with pytest.raises(FailedPrecondition, match="v1 is being moved to it or from it"):
        retiring.check_removable(target)


@pytest.mark.parametrize("which", ["source", "target"])
@pytest.mark.parametrize("commit", [True, False])
def test_a_move_from_or_to_a_drive_that_is_dead_ends_with_it(which: str, commit: bool) -> None:
    ledger, source, target = being_moved()
    dead, alive = (source, target) if which == "source" else (target, source)
    free, volumes, record = alive.free, dict(ledger.volumes), ledger.volumes["v1"].record
    change = retiring.close_lost(ledger, dead, NOW)

    if commit:
        change.done()
        assert alive.guests == {}
        assert alive.free == (free + GIB if which == "source" else free)
        left = {name: volume.record.moving for name, volume in ledger.volumes.items()}
        assert left == ({} if which == "source" else {"v1": None})
        assert ledger.moves == set()
    else:
        change.undo()
        assert (ledger.volumes, ledger.volumes["v1"].record, alive.free) == (volumes, record, free)
        assert (target.guests, ledger.moves) == ({"v1": GIB}, {"v1"})
    assert ledger.busy == set()
    assert ledger.check() == []


def test_a_drive_that_was_given_up_is_found_by_what_it_was_called_until_it_is_back() -> None:
    one, other = (drive_record(device=device, last_device="") for device in ("sda", "sdb"))
    ledger = ledger_of(one, other)
    committed(retiring.give_up(ledger, ledger.drives[one.fsuuid], m.Wipe.NONE, "2026-12-01T00:00:00Z"))
    committed(retiring.close(ledger, ledger.drives[one.fsuuid], noted=True, now="2026-12-01T00:00:05Z"))

    def gone(**filters: Any) -> list[tuple[str, str, str]]:
        page = list_drives(ledger, m.ListDrives(given_up=True, **filters))
        assert page.drives == ()
        return [(each.fsuuid, each.device, each.since) for each in page.given_up]

    told = (one.fsuuid, "sda", "2026-12-01T00:00:00Z")
    assert gone() == gone(nodes=("n1",), devices=("sda",)) == [told]
    assert gone(devices=("sdb",)) == gone(nodes=("n2",)) == []
    ledger.register(one).done()
    assert gone() == []
