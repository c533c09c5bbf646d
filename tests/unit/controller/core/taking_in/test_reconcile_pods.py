"""Who uses a volume, and in which parts a drive is told."""

import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import NoCapacity
from directpv_controller.core.placing.wanted import wanted_from
from directpv_controller.core.taking_in.parts import Pages
from directpv_controller.core.taking_in.reconcile import change_of, take_in
from unit.controller.builders import GIB, committed, drive_record, held, ledger_of, place, request, volume_record
from unit.controller.reports import BOOT, replace, report, told


def test_the_pod_that_uses_a_volume_is_taken_over_from_its_node() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    place(ledger, "v1")
    used = replace(ledger.volumes["v1"].record, pod_name="minio-0", pod_namespace="default")
    outcome = report(ledger, held(drive, used))

    assert ledger.volumes["v1"].record == used
    assert not outcome.prepare
    assert ledger.check() == []


@pytest.mark.parametrize("facts", [{"pod_name": "b"}, {"pod_namespace": "b"}, {"pod_uid": "b"}])
def test_where_pods_have_labels_a_pod_is_left_to_the_caller_until_it_was_taken_over(facts: dict[str, str]) -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    before = place(ledger, "v1").record
    first = replace(before, pod_name="a", pod_namespace="a", pod_uid="a")
    outcome = take_in(ledger, "n1", BOOT, held(drive, first), read_pods=True)
    assert (outcome.pods, outcome.changes, outcome.prepare) == ([first], [], [])
    assert ledger.volumes["v1"].record == before
    assert take_in(ledger, "n1", BOOT, held(drive, first), read_pods=True).pods == [first], (
        "it is told until it is done"
    )

    committed(ledger.note_pod(ledger.volumes["v1"], first, {"directpv.min.io/tenant": "acme"}))
    labelled = replace(first, labels={"directpv.min.io/tenant": "acme"})
    assert ledger.volumes["v1"].record == labelled
    after = take_in(ledger, "n1", BOOT, held(drive, first), read_pods=True)
    assert (after.pods, after.prepare) == ([], [labelled]), "the drive is told of the labels"

    assert take_in(ledger, "n1", BOOT, held(drive, replace(labelled, **facts)), read_pods=True).pods


def test_a_volume_that_no_pod_is_known_of_has_no_labels_to_read() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    volume = place(ledger, "v1")
    bare = volume.record
    committed(ledger.note_pod(volume, replace(bare, pod_name="a", pod_namespace="a"), {"x": "y"}))
    outcome = take_in(ledger, "n1", BOOT, held(drive, bare), read_pods=True)
    assert (outcome.pods, len(outcome.changes)) == ([], 1)
    assert volume.record == replace(bare, labels={"x": "y"})


@pytest.mark.parametrize("read_pods", [True, False])
def test_that_a_volume_was_used_is_taken_over_from_its_node_and_stays(read_pods: bool) -> None:
    """The pod's labels are not read for it once more: people may have changed them since."""
    drive = drive_record()
    ledger = ledger_of(drive)
    before = replace(place(ledger, "v1").record, pod_name="a", pod_namespace="a", pod_uid="a")
    ledger.volumes["v1"].record = before
    used = replace(before, used=True)

    outcome = take_in(ledger, "n1", BOOT, held(drive, used), read_pods=read_pods)
    assert (outcome.pods, len(outcome.changes), outcome.prepare) == ([], 1, [])
    assert ledger.volumes["v1"].record == used

    again = take_in(ledger, "n1", BOOT, held(drive, before), read_pods=read_pods)
    assert (again.changes, again.prepare) == ([], [])
    assert ledger.volumes["v1"].record == used


def test_a_pod_whose_commit_failed_is_told_again_with_the_labels_as_they_were() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    volume = place(ledger, "v1")
    before = volume.record
    used = replace(before, pod_name="a", pod_namespace="a", pod_uid="a")
    ledger.note_pod(volume, used, {"x": "y"}).undo()
    assert volume.record == before
    assert take_in(ledger, "n1", BOOT, held(drive, used), read_pods=True).pods == [used]


def test_a_pod_and_a_larger_size_are_taken_over_together() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    place(ledger, "v1", GIB)
    used = replace(ledger.volumes["v1"].record, pod_name="minio-0", pod_namespace="default", capacity=2 * GIB)
    change = change_of(ledger, [take_in(ledger, "n1", BOOT, held(drive, used))])

    assert change is not None
    assert change.writes.volumes == (used,)
    change.undo()
    assert (ledger.volumes["v1"].record.pod_name, ledger.volumes["v1"].record.capacity) == ("", GIB)
    assert ledger.check() == []


# ---- inventories in parts


def test_a_drive_that_is_told_in_parts_is_the_same_as_one_told_at_once() -> None:
    drive = drive_record(100 * GIB)
    volumes = [volume_record(f"v{i}", drive) for i in range(10)]
    ledger, pages = ledger_of(drive), Pages()
    for volume in (*volumes, volume_record("v99", drive)):
        committed(ledger.adopt(ledger.drives[drive.fsuuid], volume))
        ledger.volumes[volume.name].seen = GIB

    parts = [volumes[:4], volumes[4:8], volumes[8:]]
    outcomes = [
        take_in(
            ledger, "n1", BOOT, held(drive, *part, more=part[-1].name if part is not parts[-1] else ""), pages=pages
        )
        for part in parts
    ]
    assert [told(outcome) for outcome in outcomes] == [[], [], ["volume.missing"]]
    assert [record.name for outcome in outcomes for record in outcome.prepare] == ["v99"]


def test_a_new_drive_that_is_told_in_parts_takes_volumes_only_when_all_of_it_is_told() -> None:
    drive = drive_record(3 * GIB)
    ledger, pages = ledger_of(), Pages()

    for part in ({"more": "v1"}, {"more": "v2"}):
        outcome = take_in(ledger, "n1", BOOT, held(drive, volume_record(part["more"], drive), **part), pages=pages)
        for change in outcome.changes:
            committed(change)
        with pytest.raises(NoCapacity, match="1 being registered"):
            ledger.place(wanted_from(request("new")), now="")
        assert ledger.drives[drive.fsuuid].boot != BOOT, "who is cut short here asks again"
    take_in(ledger, "n1", BOOT, held(drive), pages=pages)

    assert ledger.drives[drive.fsuuid].boot == BOOT
    assert ledger.place(wanted_from(request("new")), now="")[0].record.fsuuid == drive.fsuuid
    assert ledger.check() == []


def test_a_known_drive_takes_volumes_while_it_is_told_in_parts() -> None:
    drive = drive_record(3 * GIB)
    ledger = ledger_of(drive)
    take_in(ledger, "n1", BOOT, held(drive, volume_record("v1", drive), more="v1"), pages=Pages())

    assert ledger.place(wanted_from(request("new")), now="")[0].record.fsuuid == drive.fsuuid


def test_nothing_is_missing_on_a_drive_that_changed_while_its_parts_were_read() -> None:
    drive = drive_record(100 * GIB)
    volume = volume_record("v9", drive)
    ledger, pages = ledger_of(drive), Pages()
    committed(ledger.adopt(ledger.drives[drive.fsuuid], volume))
    ledger.volumes["v9"].seen = GIB

    take_in(ledger, "n1", BOOT, held(drive, volume_record("v1", drive), more="v1", generation=5), pages=pages)
    outcome = take_in(ledger, "n1", BOOT, held(drive, volume_record("v2", drive), generation=6), pages=pages)

    assert (told(outcome), outcome.prepare) == (["volume.adopted"], [])
    assert ledger.drives[drive.fsuuid].generation == 5, "the next heartbeat says 6, and it is read again"


def test_a_drive_in_a_state_of_a_later_version_is_counted_and_shown_and_takes_no_volumes() -> None:
    drive, worn = drive_record(), m.Condition(type=m.ConditionType("Worn"), message="it has worn out", since="")
    ledger = ledger_of(drive)
    later = replace(drive, status=m.DriveStatus("Retired"), conditions=(worn,))
    report(ledger, held(drive, record=later))

    assert ledger.drives[drive.fsuuid].record == later
    assert ledger.totals.drives["Retired"] == 1
    with pytest.raises(NoCapacity, match="1 retired"):
        ledger.place(wanted_from(request()), now="")
    assert ledger.check() == []

    assert told(report(ledger, held(drive, record=later, generation=2))) == []
    report(ledger, held(drive, generation=3))
    assert (ledger.totals.drives["Retired"], ledger.totals.drives["Ready"]) == (0, 1)
    assert ledger.check() == []


def test_where_volumes_are_mounted_is_taken_in_from_a_drive_that_cannot_be_read_and_nothing_else() -> None:
    drive = drive_record()
    volume, other = volume_record("v1", drive), volume_record("v2", drive)
    ledger = ledger_of()
    report(ledger, held(drive, volume, other, uses={"v1": m.VolumeUse(staged="/s")}))
    broken = replace(drive, status=m.DriveStatus.LOST, device="")

    outcome = report(ledger, replace(held(broken, volume, generation=2), readable=False))

    assert ledger.volumes["v1"].use is None
    assert [record.name for record in outcome.used] == ["v1"]
    assert sorted(ledger.volumes) == ["v1", "v2"]
