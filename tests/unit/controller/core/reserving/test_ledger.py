"""What the ledger decides about volumes and drives, and that every decision can be taken back."""

import random
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol import names
from directpv_common.protocol.errors import (
    Busy,
    Conflict,
    InvalidRequest,
    NoCapacity,
    NotFound,
    OutOfRange,
)
from directpv_controller.core.placing.model import Snapshot
from directpv_controller.core.reserving.ledger import Ledger
from unit.controller.builders import CLAIM, GIB, NOW, committed, drive_record, home, ledger_of, on, place
from unit.controller.creating import create, free

# ---- create


def test_a_new_volume_carries_what_was_asked_and_is_written_once() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    parameters = {names.PVC_NAME: "data-0", names.PVC_NAMESPACE: "minio", names.VOLUME_CLAIM_ID: CLAIM}
    volume, change = create(ledger, parameters=parameters)

    expected = m.VolumeRecord(
        name="v1",
        fsuuid=drive.fsuuid,
        capacity=GIB,
        parameters=parameters,
        claim_id=CLAIM,
        pvc_name="data-0",
        pvc_namespace="minio",
        created=NOW,
    )
    assert volume.record == expected
    assert change.writes.volumes == (expected,)


def test_a_repeated_create_finds_the_volume_and_writes_nothing() -> None:
    ledger = ledger_of(drive_record(), drive_record())
    first = place(ledger)

    assert create(ledger) == (first, None)
    assert create(ledger, required=0) == (first, None)
    assert create(ledger, required=GIB // 2, limit=GIB) == (first, None)
    assert free(ledger) == 19 * GIB


def test_a_repeated_create_finds_the_volume_even_on_a_drive_that_takes_no_more() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    place(ledger)
    committed(ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, unschedulable=True))[1])

    assert home(ledger) == drive.fsuuid


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"required": GIB + 1}, id="larger"),
        pytest.param({"required": 1, "limit": GIB - 1}, id="limited to less"),
        pytest.param({"parameters": {"a": "b"}}, id="other parameters"),
        pytest.param({"requisite": on("n2")}, id="out of reach"),
    ],
)
def test_a_create_that_the_existing_volume_does_not_satisfy_is_a_conflict(asked: dict[str, Any]) -> None:
    ledger = ledger_of(drive_record(), drive_record(node="n2", unschedulable=True))
    place(ledger)

    with pytest.raises(Conflict):
        create(ledger, **asked)
    assert free(ledger) == 19 * GIB


def test_a_volume_is_busy_until_its_commit_is_known() -> None:
    ledger = ledger_of(drive_record())
    _, change = create(ledger)

    with pytest.raises(Busy):
        create(ledger)
    with pytest.raises(Busy):
        ledger.expand(m.ExpandVolume(name="v1", required=2 * GIB))
    change.done()
    assert create(ledger)[1] is None


def test_a_create_during_deletion_is_busy() -> None:
    ledger = ledger_of(drive_record())
    committed(ledger.mark(place(ledger), deleting=True))

    with pytest.raises(Busy, match="being deleted"):
        create(ledger)


# ---- delete


def test_space_stays_reserved_until_the_data_is_gone() -> None:
    ledger = ledger_of(drive_record())
    volume = place(ledger)

    committed(ledger.mark(volume, deleting=True))
    assert free(ledger) == 9 * GIB
    with pytest.raises(NotFound):
        ledger.volume("v1")

    committed(ledger.remove(volume))
    assert free(ledger) == 10 * GIB


# ---- expand


def test_an_expansion_reserves_the_difference_and_changes_the_record_in_one_write() -> None:
    ledger = ledger_of(drive_record())
    place(ledger)
    capacity, change = ledger.expand(m.ExpandVolume(name="v1", required=3 * GIB))
    assert change is not None

    assert capacity == 3 * GIB
    assert [record.capacity for record in change.writes.volumes] == [3 * GIB]
    assert free(ledger) == 7 * GIB


@pytest.mark.parametrize("required", [1, GIB - 1, GIB])
def test_a_smaller_or_equal_size_changes_nothing(required: int) -> None:
    ledger = ledger_of(drive_record())
    place(ledger)

    assert ledger.expand(m.ExpandVolume(name="v1", required=required)) == (GIB, None)


def test_a_volume_may_grow_by_the_last_byte_but_not_one_more() -> None:
    ledger = ledger_of(drive_record())
    place(ledger)

    with pytest.raises(OutOfRange, match="9 GiB free"):
        ledger.expand(m.ExpandVolume(name="v1", required=10 * GIB + 1))
    committed(ledger.expand(m.ExpandVolume(name="v1", required=10 * GIB))[1])
    assert free(ledger) == 0


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        pytest.param({"name": "v2", "required": 1}, NotFound, id="no such volume"),
        pytest.param({"name": "v1", "required": 5 * GIB, "limit": 4 * GIB}, InvalidRequest, id="limit below required"),
        pytest.param({"name": "v1", "required": 1, "limit": GIB - 1}, OutOfRange, id="limit below what it has"),
    ],
)
def test_an_expansion_is_refused(asked: dict[str, Any], error: type[Exception]) -> None:
    ledger = ledger_of(drive_record())
    place(ledger)

    with pytest.raises(error):
        ledger.expand(m.ExpandVolume(**asked))
    assert free(ledger) == 9 * GIB


def test_a_volume_on_a_cordoned_or_lost_drive_can_grow() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    place(ledger)
    committed(ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, unschedulable=True))[1])

    assert ledger.expand(m.ExpandVolume(name="v1", required=2 * GIB))[0] == 2 * GIB


# ---- undo


def test_a_decision_whose_commit_failed_leaves_no_trace() -> None:
    drive = drive_record()
    ledger = ledger_of(drive, drive_record(node="n2"))
    other = m.VolumeRecord(name="v0", fsuuid=drive.fsuuid, capacity=GIB, claim_id=CLAIM)
    committed(ledger.adopt(ledger.drives[drive.fsuuid], other))
    place(ledger, "v1")
    before = shown(ledger)
    claimed = {names.VOLUME_CLAIM_ID: CLAIM}

    for decide in (
        lambda: create(ledger, "v2", parameters=claimed)[1],
        lambda: ledger.expand(m.ExpandVolume(name="v1", required=2 * GIB))[1],
        lambda: ledger.mark(ledger.volumes["v1"], deleting=True),
        lambda: ledger.remove(ledger.volumes["v1"]),
        lambda: ledger.remove(ledger.volumes["v0"]),
        lambda: ledger.register(drive_record(node="n3")),
        lambda: ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, unschedulable=True, set_labels={"a": "b"}))[1],
        lambda: ledger.adopt(ledger.drives[drive.fsuuid], m.VolumeRecord(name="v9", fsuuid=drive.fsuuid, capacity=GIB)),
    ):
        change = decide()
        assert shown(ledger) != before
        change.undo()
        assert shown(ledger) == before
        assert ledger.check() == []
        assert not ledger.busy


def shown(ledger: Ledger) -> object:
    drives = {fsuuid: (d.record, d.allocated, set(d.volumes), dict(d.claims)) for fsuuid, d in ledger.drives.items()}
    return drives, {name: volume.record for name, volume in ledger.volumes.items()}


def test_taking_back_one_change_of_a_drive_keeps_a_later_one() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    _, cordon = ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, unschedulable=True))
    assert cordon is not None
    committed(ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, set_labels={"a": "b"}))[1])

    cordon.undo()
    record = ledger.drives[drive.fsuuid].record
    assert (record.unschedulable, record.labels) == (False, {"a": "b"})


# ---- drives


def test_a_drive_that_belongs_to_another_node_is_not_taken_over() -> None:
    drive = drive_record(node="n1")
    ledger = ledger_of(drive)

    with pytest.raises(Conflict, match="belongs to node n1"):
        ledger.register(m.DriveRecord(fsuuid=drive.fsuuid, node="n2", total=1, overhead=0))
    assert ledger.drives[drive.fsuuid].record == drive


@pytest.mark.parametrize(
    "key",
    [names.ACCESS_TIER, names.NODE, names.SUSPEND, f"{names.VOLUME_CLAIM_ID}-{CLAIM}", "", "-a", "a/b/c", "x" * 64],
)
def test_labels_that_are_reserved_or_malformed_are_refused(key: str) -> None:
    drive = drive_record()
    ledger = ledger_of(drive)

    for change in ({"set_labels": {key: "x"}}, {"remove_labels": (key,)}):
        with pytest.raises(InvalidRequest) as refusal:
            ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, **change))
        assert refusal.value.details["field"] == f"labels.{key}"


@pytest.mark.parametrize("value", ["x" * 64, "a b", "-a", "a/b"])
def test_label_values_that_kubernetes_refuses_are_refused(value: str) -> None:
    drive = drive_record()

    with pytest.raises(InvalidRequest, match="value"):
        ledger_of(drive).change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, set_labels={"a": value}))


def test_a_change_that_changes_nothing_is_not_written() -> None:
    drive = drive_record(labels={"a": "b"})

    assert ledger_of(drive).change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, set_labels={"a": "b"}))[1] is None


def test_an_unknown_drive_cannot_be_changed() -> None:
    with pytest.raises(NotFound):
        ledger_of().change_drive(m.ChangeDrive(fsuuid=drive_record().fsuuid, unschedulable=True))


# ---- loading


def test_what_was_written_is_what_is_loaded() -> None:
    drives = [drive_record(), drive_record(node="n2")]
    ledger = ledger_of(*drives)
    for i in range(8):
        place(ledger, f"v{i}", parameters={"i": str(i)})
    records = [volume.record for volume in ledger.volumes.values()]

    loaded = Ledger.load(Snapshot([drive.record for drive in ledger.drives.values()], records), random.Random(2).random)
    assert shown(loaded) == shown(ledger)
    assert loaded.check() == []


def test_what_was_shown_of_mounts_is_believed_until_the_node_says_otherwise() -> None:
    drive = drive_record()
    used, unused = (m.VolumeRecord(name=name, fsuuid=drive.fsuuid, capacity=GIB) for name in ("used", "unused"))
    use = m.VolumeUse(staged="/staging/used", published=("/pods/used",))
    ledger = Ledger.load(Snapshot([drive], [used, unused], {"used": use}), random.Random(2).random)

    assert ledger.volumes["used"].use == use
    assert ledger.volumes["unused"].use is None


def test_drives_that_are_found_on_a_node_that_is_offline_are_offline_too() -> None:
    lost, new, known = drive_record(), drive_record(), drive_record()
    volume = m.VolumeRecord(name="v1", fsuuid=lost.fsuuid, capacity=GIB)
    ledger = Ledger.load(Snapshot([known], [volume]), random.Random(2).random)
    ledger.set_offline(known.node, True)

    committed(ledger.register(lost))
    committed(ledger.register(new))

    assert {drive.offline for drive in ledger.drives.values()} == {True}
    assert ledger.check() == []


def test_volumes_whose_drive_is_not_in_the_registry_are_kept_and_complained_about() -> None:
    record = drive_record()
    volume = m.VolumeRecord(name="v1", fsuuid=record.fsuuid, capacity=GIB)
    ledger = Ledger.load(Snapshot([], [volume]), random.Random(2).random)

    assert create(ledger)[0].record == volume
    with pytest.raises(NoCapacity):
        create(ledger, "v2")
    assert [text for text in ledger.check() if "not registered" in text]

    committed(ledger.register(record))
    assert ledger.check() == []
    assert free(ledger) == 9 * GIB


def test_the_invariants_notice_a_wrong_sum() -> None:
    ledger = ledger_of(drive_record())
    place(ledger)
    assert ledger.check() == []

    next(iter(ledger.drives.values())).allocated += 1
    assert any("overhead, volumes and strays" in text for text in ledger.check())


def test_the_invariants_notice_a_drive_that_promises_more_than_it_has() -> None:
    drive = drive_record(GIB)
    ledger = ledger_of(drive)
    committed(
        ledger.adopt(ledger.drives[drive.fsuuid], m.VolumeRecord(name="v1", fsuuid=drive.fsuuid, capacity=2 * GIB))
    )

    assert any("promised" in text for text in ledger.check())
    assert ledger.drives[drive.fsuuid].free == 0
    with pytest.raises(NoCapacity, match="1 overcommitted"):
        create(ledger, "v2", required=0)
