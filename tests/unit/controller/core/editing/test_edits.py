"""What others changed on an object, beside what we decided meanwhile."""

from hypothesis import given
from hypothesis import strategies as st

import directpv_common.protocol.messages as m
from directpv_common.protocol.names import AccessTier
from directpv_controller.core.editing.edits import drive_with_edit, merged, volume_with_edit
from unit.controller.builders import drive_record, ledger_of, place, volume_record

LABELS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("123"))


@given(LABELS, LABELS, LABELS)
def test_each_label_is_as_the_last_one_who_changed_it_left_it(
    base: dict[str, str], theirs: dict[str, str], ours: dict[str, str]
) -> None:
    result = merged(base, theirs, ours)
    for key in "abcd":
        changed = base.get(key) != theirs.get(key)
        assert result.get(key) == (theirs.get(key) if changed else ours.get(key))


@given(LABELS, LABELS)
def test_nothing_edited_changes_nothing(base: dict[str, str], ours: dict[str, str]) -> None:
    assert merged(base, base, ours) == ours


def test_a_cordon_of_others_and_a_label_of_ours_both_hold() -> None:
    base = drive_record()
    theirs = m.DriveRecord(**{**_fields(base), "unschedulable": True, "total": 5, "access_tier": AccessTier.HOT})
    ours = m.DriveRecord(**{**_fields(base), "labels": {"example.com/x": "y"}})

    result = drive_with_edit(base, theirs, ours)

    assert (result.unschedulable, result.access_tier, result.labels) == (True, AccessTier.HOT, {"example.com/x": "y"})
    assert result.total == base.total, "what a node observes is nobody else's to say"


def test_a_volume_is_released_only_by_a_change() -> None:
    base = volume_record("v1", drive_record())
    released = m.VolumeRecord(**{**_fields(base), "deleting": True, "capacity": 1})
    assert volume_with_edit(base, released, base).deleting
    assert not volume_with_edit(released, released, base).deleting
    assert volume_with_edit(base, released, base).capacity == base.capacity


def test_labels_that_were_taken_in_are_taken_back_with_the_commit() -> None:
    ledger = ledger_of(drive_record())
    volume = place(ledger)
    change = ledger.relabel(volume, {"example.com/x": "y"}, deleting=True)
    assert (volume.record.labels, volume.record.deleting) == ({"example.com/x": "y"}, True)
    change.undo()
    assert (volume.record.labels, volume.record.deleting) == ({}, False)
    assert ledger.check() == []


def _fields(record: m.DriveRecord | m.VolumeRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}
