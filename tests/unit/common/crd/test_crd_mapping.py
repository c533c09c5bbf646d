"""Records and custom resources, both ways: nothing is lost, and Kubernetes takes what comes out."""

import re
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import directpv_common.protocol.messages as m
from directpv_common import crd
from directpv_common.protocol import names
from directpv_common.protocol.errors import InvalidRequest

UUIDS = st.uuids().map(str)
NODES = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,100}[a-z0-9])?", fullmatch=True)
VOLUMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?", fullmatch=True).filter(m.is_volume_name)
DEVICES = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=70)
TEXTS = st.text(max_size=80)
TIMES = st.sampled_from(["2026-11-22T10:00:00Z", "2024-01-01T23:59:59Z"])
SIZES = st.integers(1, 2**50)
USER_LABELS = st.dictionaries(
    st.one_of(
        st.sampled_from([names.SUSPEND, names.TENANT, "example.com/rack", "plain", f"{names.GROUP}/purpose"]),
        TEXTS.filter(lambda key: key and not names.is_reserved(key)),
    ),
    st.one_of(st.sampled_from(["true", "", "a.b-c_d"]), TEXTS),
    max_size=4,
)
CONDITIONS = st.lists(
    st.builds(m.Condition, type=st.sampled_from(m.ConditionType), message=TEXTS, since=TIMES),
    unique_by=lambda condition: condition.type,
    max_size=3,
).map(tuple)
DRIVES = st.builds(
    m.DriveRecord,
    fsuuid=UUIDS,
    node=NODES,
    total=SIZES,
    overhead=SIZES,
    device=DEVICES,
    make=TEXTS,
    topology=st.dictionaries(st.sampled_from(names.TOPOLOGY_KEYS), TEXTS),
    status=st.sampled_from(m.DriveStatus),
    conditions=CONDITIONS,
    unschedulable=st.booleans(),
    access_tier=st.sampled_from(names.AccessTier),
    labels=USER_LABELS,
    created=st.one_of(st.just(""), TIMES),
)
VOLUME_RECORDS = st.builds(
    m.VolumeRecord,
    name=VOLUMES,
    fsuuid=UUIDS,
    capacity=SIZES,
    parameters=st.dictionaries(TEXTS, TEXTS, max_size=3),
    labels=USER_LABELS,
    claim_id=st.one_of(st.just(""), UUIDS),
    pvc_name=TEXTS,
    pvc_namespace=TEXTS,
    created=st.one_of(st.just(""), TIMES),
    deleting=st.booleans(),
    pod_name=st.one_of(st.just(""), NODES),
    pod_namespace=st.one_of(st.just(""), NODES),
    pod_uid=st.sampled_from(("", "0e5f6ab7-6d5d-4a5b-8f61-5d9e4b0c1a2b")),
    used=st.booleans(),
)
RESERVATIONS = st.lists(st.builds(crd.Reservation, VOLUMES, SIZES, st.one_of(st.just(""), UUIDS)), max_size=4)
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?\Z")
QUALIFIED = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")


def travelled(obj: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from the API server."""
    loaded: dict[str, Any] = orjson.loads(orjson.dumps(obj))
    return loaded


def taken_by_kubernetes(obj: dict[str, Any]) -> bool:
    meta = obj["metadata"]
    keys = [*meta["labels"], *meta["annotations"], *meta["finalizers"]]
    return (
        all(QUALIFIED.match(key) for key in keys)
        and all(LABEL.match(value) for value in meta["labels"].values())
        and len(meta["name"]) <= 253
        and SUBDOMAIN.match(meta["name"]) is not None
    )


@given(DRIVES, RESERVATIONS)
def test_a_drive_comes_back_as_it_went(record: m.DriveRecord, reserved: list[crd.Reservation]) -> None:
    obj = travelled(crd.drive_to_object(record, reserved, epoch=7))

    back, rest = crd.drive_from_object(obj, sizes=sum(each.capacity for each in reserved))

    assert back == record
    assert rest == crd.NOTHING
    assert crd.epoch_of(obj) == 7
    assert taken_by_kubernetes(obj)


@given(VOLUME_RECORDS, NODES, DEVICES)
def test_a_volume_comes_back_as_it_went(record: m.VolumeRecord, node: str, device: str) -> None:
    obj = travelled(crd.volume_to_object(record, node=node, device=device, epoch=7))

    back, rest = crd.volume_from_object(obj)

    assert back == record
    assert rest == crd.NOTHING
    assert taken_by_kubernetes(obj)


@given(VOLUMES, VOLUMES)
def test_two_volumes_never_share_a_name_or_a_finalizer(one: str, other: str) -> None:
    same = one == other
    assert (crd.object_name(one) == crd.object_name(other)) is same
    assert (crd.volume_finalizer(one) == crd.volume_finalizer(other)) is same


FOREIGN = {
    "annotations": {"example.com/note": "keep me"},
    "finalizers": ["example.com/mine", crd.DATA_PROTECTION],
    "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "1"}],
}


@given(DRIVES)
def test_what_is_foreign_on_a_drive_is_written_back(record: m.DriveRecord) -> None:
    obj = travelled(crd.drive_to_object(record))
    obj["metadata"]["annotations"] |= FOREIGN["annotations"]
    obj["metadata"]["finalizers"] = FOREIGN["finalizers"]
    obj["metadata"]["ownerReferences"] = FOREIGN["ownerReferences"]
    obj["spec"]["relabel"] = True
    foreign = {"type": "Strange", "status": "True", "reason": "X", "message": "", "lastTransitionTime": "2026-01-01"}
    obj["status"]["conditions"].append(foreign)

    back, rest = crd.drive_from_object(obj)
    again = crd.drive_to_object(back, rest=rest)

    assert again["metadata"]["annotations"]["example.com/note"] == "keep me"
    assert "example.com/mine" in again["metadata"]["finalizers"]
    assert again["metadata"]["ownerReferences"] == FOREIGN["ownerReferences"]
    assert again["spec"]["relabel"] is True
    assert foreign in again["status"]["conditions"]


@given(VOLUME_RECORDS)
def test_a_volume_is_pending_until_it_is_staged_for_the_first_time_and_never_again(record: m.VolumeRecord) -> None:
    """Source: upstream v4.1.6, whose cordon refuses every drive with a volume that is Pending."""

    def shown(use: m.VolumeUse | None, rest: crd.Rest) -> tuple[str, crd.Rest]:
        obj = travelled(crd.volume_to_object(record, node="n1", device="sda", use=use, rest=rest))
        return obj["status"]["status"], crd.volume_from_object(obj)[1]

    record = replace(record, used=False)
    never, rest = shown(m.VolumeUse(), crd.NOTHING)
    staged, rest = shown(m.VolumeUse(staged="/s"), rest)
    idle, rest = shown(m.VolumeUse(), rest)
    unknown, _ = shown(None, rest)

    assert (never, staged, idle, unknown) == ("Pending", "Ready", "Ready", "Ready")

    record = replace(record, used=True)
    assert [shown(use, crd.NOTHING)[0] for use in (None, m.VolumeUse())] == ["Ready", "Ready"]


@given(VOLUME_RECORDS)
def test_paths_that_upstream_wrote_stay_until_the_use_is_known(record: m.VolumeRecord) -> None:
    obj = travelled(crd.volume_to_object(record, node="n1", device="sda"))
    paths = {"dataPath": "/d", "stagingTargetPath": "/s", "targetPath": "/t", "status": "Ready", "usedCapacity": 1}
    obj["status"] |= paths

    back, rest = crd.volume_from_object(obj)
    kept = crd.volume_to_object(back, node="n1", device="sda", rest=rest)["status"]
    known = crd.volume_to_object(back, node="n1", device="sda", rest=rest, use=m.VolumeUse())["status"]

    assert {key: kept[key] for key in paths} == paths
    assert (known["stagingTargetPath"], known["targetPath"], known["status"]) == ("", "", "Ready")


def upstream_drive(**status: Any) -> dict[str, Any]:
    """A DirectPVDrive as upstream leaves it right after init, with one volume of 40 bytes."""
    return {
        "apiVersion": "directpv.min.io/v1beta1",
        "kind": "DirectPVDrive",
        "metadata": {
            "name": "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10",
            "creationTimestamp": "2025-05-05T05:05:05Z",
            "finalizers": [crd.DATA_PROTECTION, crd.volume_finalizer("pvc-1")],
            "labels": {
                names.NODE: "n1",
                names.DRIVE_NAME: "sdb",
                names.ACCESS_TIER: "hot",
                names.VERSION: "v1beta1",
                names.CREATED_BY: "directpv-driver",
                names.SUSPEND: "true",
            },
        },
        "spec": {},
        "status": {
            "totalCapacity": 100,
            "allocatedCapacity": 40,
            "freeCapacity": 50,
            "fsuuid": "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10",
            "status": "Ready",
            "topology": {names.NODE: "n1"},
            **status,
        },
    }


def test_the_overhead_that_upstream_counts_nowhere_is_found() -> None:
    record, _ = crd.drive_from_object(upstream_drive(), sizes=40)

    assert record.overhead == 10
    assert record.access_tier is names.AccessTier.HOT
    assert record.labels == {names.SUSPEND: "true"}
    assert record.created == "2025-05-05T05:05:05Z"
    again = crd.drive_to_object(record, [crd.Reservation("pvc-1", 40)])
    assert again["status"]["freeCapacity"] == 50


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", "it exploded"), ("totalCapacity", -5), ("totalCapacity", "a lot"), ("topology", [1])],
)
def test_an_object_that_makes_no_sense_is_named(field: str, value: object) -> None:
    obj = upstream_drive()
    obj["status"][field] = value
    with pytest.raises(InvalidRequest, match="6d4b2a3c"):
        crd.drive_from_object(obj)


def test_a_label_of_a_claim_is_not_the_drives_own() -> None:
    obj = upstream_drive()
    own = {names.SUSPEND: "true", "directpv.min.io/medium": "nvme"}
    left = crd.claim_label("0E5F6AB7-6d5d-4a5b-8f61-5d9e4b0c1a2b")
    obj["metadata"]["labels"] |= {**own, left: "true"}

    record, rest = crd.drive_from_object(obj)

    assert record.labels == own
    assert left not in crd.drive_to_object(record, rest=rest)["metadata"]["labels"]


def test_a_drive_whose_object_is_being_deleted_takes_no_volumes() -> None:
    obj = upstream_drive()
    obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    record, rest = crd.drive_from_object(obj)

    assert record.unschedulable
    finalizers = crd.drive_to_object(record, [crd.Reservation("pvc-2", 1)], rest=rest)["metadata"]["finalizers"]
    assert finalizers == [crd.DATA_PROTECTION]


def upstream_volume(finalizers: list[str], *, deleted: bool = False) -> dict[str, Any]:
    obj = travelled(
        crd.volume_to_object(
            m.VolumeRecord(name="pvc-1", fsuuid="6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10", capacity=40),
            node="n1",
            device="sdb",
        )
    )
    obj["metadata"]["annotations"] = {}
    obj["metadata"]["finalizers"] = finalizers
    if deleted:
        obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return obj


@pytest.mark.parametrize(
    ("finalizers", "deleted", "deleting"),
    [
        ([crd.PV_PROTECTION, crd.PURGE_PROTECTION], False, False),
        ([crd.PV_PROTECTION, crd.PURGE_PROTECTION], True, False),
        ([crd.PURGE_PROTECTION], True, True),
    ],
)
def test_only_a_released_volume_is_deleted(finalizers: list[str], deleted: bool, deleting: bool) -> None:
    record, _ = crd.volume_from_object(upstream_volume(finalizers, deleted=deleted))
    assert record.deleting is deleting


def test_reserved_labels_of_a_record_change_no_facts() -> None:
    sly = {names.NODE: "elsewhere", names.DRIVE: "other", names.CLAIM_ID: "x", names.DRIVE_NAME: "y"}
    record = m.VolumeRecord(name="pvc-1", fsuuid="6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10", capacity=1, labels=sly)
    labels = crd.volume_to_object(record, node="n1", device="sdb")["metadata"]["labels"]
    assert (labels[names.NODE], labels[names.DRIVE], labels[names.DRIVE_NAME]) == ("n1", record.fsuuid, "sdb")


def test_a_label_that_somebody_changed_wins_over_the_full_name() -> None:
    record = msgspec.structs.replace(crd.drive_from_object(upstream_drive())[0], device="cciss/c0d0")
    obj = travelled(crd.drive_to_object(record))
    obj["metadata"]["labels"][names.DRIVE_NAME] = "sdz"
    assert crd.drive_from_object(obj)[0].device == "sdz"
