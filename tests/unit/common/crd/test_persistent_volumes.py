"""What a PersistentVolume says of its volume is kept, within bounds; and one like it can be made again."""

from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.crd.persistent_volumes import Claim, is_within, node_affinity, pv_object, read_pv
from directpv_common.protocol import names

FSUUID = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"
TOPOLOGY = {names.NODE: "n1", names.ZONE: "z1"}
KEPT = m.KeptPv(
    storage_class="fast",
    reclaim_policy="Delete",
    access_modes=("ReadWriteOncePod",),
    mount_options=("noatime",),
    fs_type="xfs",
)
RECORD = m.VolumeRecord(
    name="pvc-1",
    fsuuid=FSUUID,
    capacity=2**30,
    incarnation="ab",
    parameters={"csi.storage.k8s.io/pvc/name": "data", f"{names.GROUP}/access-tier": "Hot"},
)


def pv(**spec: Any) -> dict[str, Any]:
    made = pv_object(RECORD, TOPOLOGY, KEPT, {"namespace": "shop", "name": "data-0"})
    return {**made, "spec": {**made["spec"], **spec}}


def test_what_a_persistent_volume_says_is_what_one_that_is_made_of_it_says_again() -> None:
    seen = read_pv(pv(), "pvc-1")
    assert seen == (KEPT, Claim("shop", "data-0"))
    assert seen is not None
    assert pv_object(RECORD, TOPOLOGY, seen.pv, {"namespace": "shop", "name": "data-0"}) == pv()


def test_a_node_gets_the_class_its_drive_and_which_volume_it_is_and_nothing_that_kubernetes_adds() -> None:
    assert pv()["spec"]["csi"]["volumeAttributes"] == {
        f"{names.GROUP}/access-tier": "Hot",
        names.DRIVE: FSUUID,
        names.VOLUME_SIZE: str(2**30),
        names.INCARNATION: "ab",
    }


@pytest.mark.parametrize(
    "csi", [{}, {"driver": "other", "volumeHandle": "pvc-1"}, {"driver": names.DRIVER_NAME, "volumeHandle": "pvc-2"}]
)
def test_a_persistent_volume_of_another_volume_says_nothing(csi: dict[str, str]) -> None:
    assert read_pv(pv(csi=csi), "pvc-1") is None


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"mountOptions": ["x" * 300]}, "mount_options"),
        ({"mountOptions": ["x"] * 33}, "mount_options"),
        ({"mountOptions": "noatime"}, "mount_options"),
        ({"mountOptions": [1]}, "mount_options"),
        ({"accessModes": ["ReadWriteOnce"] * 5}, "access_modes"),
        ({"storageClassName": "c" * 254}, "storage_class"),
        ({"storageClassName": None}, "storage_class"),
    ],
)
def test_what_is_too_long_or_makes_no_sense_is_not_kept_and_the_rest_is(spec: dict[str, Any], field: str) -> None:
    seen = read_pv(pv(**spec), "pvc-1")
    assert seen is not None
    kept = {name: getattr(seen.pv, name) for name in seen.pv.__struct_fields__}
    assert not kept.pop(field)
    assert kept == {name: getattr(KEPT, name) for name in kept}


def test_without_a_claim_none_is_kept() -> None:
    for reference in (None, {}, {"name": "data-0"}, {"namespace": "shop", "name": "x" * 254}):
        seen = read_pv(pv(claimRef=reference), "pvc-1")
        assert seen is not None
        assert seen.claim is None


def test_a_volume_on_another_node_is_outside_of_where_its_persistent_volume_can_be_used() -> None:
    affinity = node_affinity(TOPOLOGY)
    assert is_within(TOPOLOGY, affinity)
    assert is_within({**TOPOLOGY, names.RACK: "r1"}, affinity)
    assert not is_within({**TOPOLOGY, names.NODE: "n2"}, affinity)
    assert is_within(TOPOLOGY, None), "no affinity: anywhere"
    assert is_within(TOPOLOGY, node_affinity({**TOPOLOGY, "kubernetes.io/os": "linux"})), "of labels nothing is known"
    other = {"required": {"nodeSelectorTerms": [*node_affinity({names.NODE: "n9"})["required"]["nodeSelectorTerms"]]}}
    assert not is_within(TOPOLOGY, other)
    other["required"]["nodeSelectorTerms"] += affinity["required"]["nodeSelectorTerms"]
    assert is_within(TOPOLOGY, other), "one of several terms will do"
