"""What a drive's inventory means: the drive is the truth about itself, and absence proves little."""

import msgspec
import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import NoCapacity
from directpv_common.protocol.names import AccessTier
from directpv_controller.core.ledger import Ledger
from directpv_controller.core.reconcile import Outcome, Pages, change_of, lost, take_in
from directpv_controller.core.wanted import wanted_from
from unit.controller.builders import GIB, committed, drive_record, held, ledger_of, place, request, volume_record

BOOT = "boot-1"
replace = msgspec.structs.replace


def report(ledger: Ledger, drive: m.HeldDrive, node: str = "n1", boot: str = BOOT) -> Outcome:
    """Take the inventory in, commit, and check the invariants."""
    outcome = take_in(ledger, node, boot, drive)
    change = change_of(ledger, [outcome])
    if change is not None:
        change.done()
    assert not ledger.busy
    return outcome


def told(outcome: Outcome) -> list[str]:
    return [f"{event.noun}.{event.kind}" for event in outcome.events]


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
    outcome = lost(ledger, ledger.drives[drive.fsuuid])
    committed(change_of(ledger, [outcome]))
    assert told(outcome) == ["drive.lost"]
    with pytest.raises(NoCapacity, match="1 lost"):
        place(ledger)

    report(ledger, held(drive))
    place(ledger)


def test_a_record_that_was_taken_back_is_written_again() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    _, cordon = ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, unschedulable=True))
    assert cordon is not None
    cordon.undo()

    assert [change.writes.drives for change in report(ledger, held(drive)).changes] == [(drive,)]
    assert report(ledger, held(drive)).changes == []


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
