"""What becomes of PersistentVolumes and claims: made as they were, never overwritten, and conflicts named."""

from typing import Any

import msgspec
import pytest

import directpv_common.protocol.messages as m
from directpv_cli.recovering.core.claims import in_bytes
from directpv_cli.recovering.core.held import Held
from directpv_cli.recovering.core.objects import POLICY, Steps, Wishes, plan
from directpv_cli.recovering.core.rows import Action
from directpv_common.crd.persistent_volumes import Claim
from directpv_common.protocol import names

GIB = 2**30
KEPT = m.KeptPv(
    storage_class="fast", reclaim_policy="Delete", access_modes=("ReadWriteOncePod",), mount_options=("noatime",)
)
TOPOLOGY = {names.NODE: "n1", names.ZONE: "z1"}
ELSEWHERE = {names.NODE: "n2", names.ZONE: "z1"}
DATA = Claim("shop", "data-0")
SHOP = {"shop": {"metadata": {"name": "shop"}}}


def info(name: str = "pvc-1", topology: dict[str, str] | None = None, **facts: Any) -> m.VolumeInfo:
    values = {"pvc_namespace": "shop", "pvc_name": "data-0", "pv": KEPT, **facts}
    record = m.VolumeRecord(name=name, fsuuid="6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10", capacity=GIB, **values)
    topology = topology or TOPOLOGY
    return m.VolumeInfo(record=record, node=topology[names.NODE], topology=topology)


def claim(volume: str = "", storage: str = "1Gi", **spec: Any) -> dict[str, Any]:
    asked = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "slow",
        "resources": {"requests": {"storage": storage}},
    }
    return {"metadata": {"name": "data-0", "uid": "u-1"}, "spec": {**asked, "volumeName": volume, **spec}}


def made(volume: m.VolumeInfo | None = None, **held: Any) -> Steps:
    (steps,) = plan([volume or info()], Held(**{"namespaces": SHOP, **held}), held.pop("wishes", Wishes()))
    return steps


def existing(volume: m.VolumeInfo | None = None, **spec: Any) -> dict[str, Any]:
    """The PersistentVolume of a volume as the cluster has it, bound."""
    pv = made(volume).pv
    assert pv is not None
    reference = {"namespace": "shop", "name": "data-0", "uid": "u-1"}
    policy = {"persistentVolumeReclaimPolicy": "Delete", "claimRef": reference}
    return {**pv, "metadata": {"name": "pvc-1", "resourceVersion": "7"}, "spec": {**pv["spec"], **policy, **spec}}


def said(steps: Steps) -> list[tuple[str, str, str]]:
    return [(row.kind, row.name, row.action.value) for row in steps.rows]


def why(steps: Steps) -> str:
    (row,) = steps.rows
    assert row.action is Action.CONFLICT, row
    assert (steps.pv, steps.pvc, steps.namespace, steps.replaced, steps.policy, steps.changes) == (
        None, None, None, None, "", False,
    )  # fmt: skip
    return row.detail


def test_what_is_missing_is_made_as_it_was_and_bound_to_each_other() -> None:
    steps = made(namespaces={})
    assert said(steps) == [
        ("Namespace", "shop", "create"),
        ("PersistentVolume", "pvc-1", "create"),
        ("PersistentVolumeClaim", "shop/data-0", "create"),
    ]
    assert steps.pv is not None
    assert steps.pvc is not None
    spec = steps.pv["spec"]
    assert (spec["storageClassName"], spec["accessModes"], spec["mountOptions"]) == (
        "fast", ["ReadWriteOncePod"], ["noatime"],
    )  # fmt: skip
    assert spec["claimRef"] == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": "shop",
        "name": "data-0",
    }
    assert (spec["csi"]["volumeHandle"], spec["capacity"]["storage"]) == ("pvc-1", str(GIB))
    wanted = steps.pvc["spec"]
    assert (wanted["volumeName"], wanted["storageClassName"], wanted["accessModes"]) == (
        "pvc-1", "fast", ["ReadWriteOncePod"],
    )  # fmt: skip


def test_nothing_deletes_data_before_the_claim_is_bound_and_then_the_policy_is_as_it_was() -> None:
    steps = made()
    assert steps.pv is not None
    assert steps.pv["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert steps.pv["metadata"]["annotations"][POLICY] == steps.policy == "Delete"
    for pv in (None, msgspec.structs.replace(KEPT, reclaim_policy="Retain")):
        retained = made(info(pv=pv))
        assert retained.pv is not None
        assert (retained.policy, POLICY in retained.pv["metadata"]["annotations"]) == ("", False)


def test_the_claims_of_a_stateful_set_that_waits_get_their_volumes() -> None:
    steps = made(claims={DATA: claim()})
    assert said(steps) == [("PersistentVolume", "pvc-1", "create"), ("PersistentVolumeClaim", "shop/data-0", "exists")]
    assert steps.pv is not None
    assert steps.pvc is None
    assert steps.pv["spec"]["storageClassName"] == "slow", "as the claim asks: else it is never bound"
    assert steps.pv["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert "uid" not in steps.pv["spec"]["claimRef"]


def test_a_claim_that_lost_its_volume_is_bound_to_it_again_and_no_later_claim_of_its_name() -> None:
    steps = made(claims={DATA: claim("pvc-1")})
    assert steps.pv is not None
    assert steps.pv["spec"]["claimRef"]["uid"] == "u-1"


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (claim("pvc-9"), "is bound to pvc-9"),
        (claim(storage="2Gi"), "asks for 2Gi"),
        (claim(storage="much"), "asks for much"),
        (claim(volumeMode="Block"), "raw block"),
        (claim(storageClassName=""), "no storage class"),
        ({**claim(), "metadata": {"name": "data-0", "deletionTimestamp": "now"}}, "is being deleted"),
    ],
)
def test_a_claim_that_cannot_be_bound_to_it_is_a_conflict_and_nothing_is_done(found: dict[str, Any], text: str) -> None:
    assert text in why(made(claims={DATA: found}))


def test_a_namespace_that_is_being_deleted_is_a_conflict() -> None:
    gone = {"shop": {"metadata": {"name": "shop", "deletionTimestamp": "now"}}}
    assert "namespace shop is being deleted" in why(made(namespaces=gone))


def test_a_volume_that_remembers_no_claim_gets_one_that_people_name() -> None:
    volume = info(pvc_name="", pvc_namespace="", pv=None)
    assert "--claim VOLUME=NAMESPACE/NAME" in why(made(volume))
    (steps,) = plan([volume], Held(namespaces=SHOP), Wishes({"pvc-1": DATA}))
    assert ("PersistentVolumeClaim", "shop/data-0", "create") in said(steps)


def test_two_volumes_that_remember_one_claim_are_a_conflict_until_people_decide() -> None:
    volumes = [info("pvc-1"), info("pvc-2")]
    for steps in plan(volumes, Held(namespaces=SHOP), Wishes()):
        assert "2 volumes remember claim shop/data-0" in why(steps)
    first, second = plan(volumes, Held(namespaces=SHOP), Wishes({"pvc-2": Claim("shop", "other")}))
    assert (first.claim, second.claim) == (DATA, Claim("shop", "other"))
    held = Held(namespaces=SHOP, pvs={"pvc-1": existing()}, claims={DATA: claim("pvc-1")})
    _, second = plan(volumes, held, Wishes())
    assert "PersistentVolume pvc-1 is for its claim" in why(second)


def test_what_exists_is_left_as_it_is() -> None:
    steps = made(pvs={"pvc-1": existing()}, claims={DATA: claim("pvc-1")})
    assert said(steps) == [("PersistentVolume", "pvc-1", "exists")]
    assert not steps.changes

    named = {**existing(), "metadata": {"name": "by-hand"}}
    assert said(made(pvs={"by-hand": named})) == [("PersistentVolume", "by-hand", "exists")]
    released = made(pvs={"pvc-1": existing()})
    assert (released.changes, released.rows[0].detail) == (False, "its claim shop/data-0 was deleted")


def test_an_object_of_its_name_that_is_something_else_is_a_conflict() -> None:
    other = existing(csi={"driver": "other", "volumeHandle": "pvc-1"})
    assert "something else" in why(made(pvs={"pvc-1": other}))
    assert "cannot be that of an object" in why(made(info("Data_1")))


def test_a_recovery_that_was_cut_short_is_ended() -> None:
    begun = made()
    assert begun.pv is not None
    assert begun.pvc is not None
    kept = {**begun.pv, "metadata": {**begun.pv["metadata"], "resourceVersion": "1"}}
    again = made(pvs={"pvc-1": kept})
    assert said(again) == [("PersistentVolume", "pvc-1", "exists"), ("PersistentVolumeClaim", "shop/data-0", "create")]
    assert (again.pvc, again.policy) == (
        {**begun.pvc, "spec": {**begun.pvc["spec"], "accessModes": ["ReadWriteOncePod"]}},
        "Delete",
    )

    bound = {**kept, "spec": {**kept["spec"], "claimRef": {**kept["spec"]["claimRef"], "uid": "u-1"}}}
    last = made(pvs={"pvc-1": bound}, claims={DATA: claim("pvc-1")})
    assert said(last) == [("PersistentVolume", "pvc-1", "finish")]
    assert (last.policy, last.claim, last.pv) == ("Delete", DATA, None)


def test_the_persistent_volume_of_a_drive_that_moved_is_made_anew_with_the_node_where_it_is() -> None:
    old = existing()
    steps = made(info(topology=ELSEWHERE), pvs={"pvc-1": old}, claims={DATA: claim("pvc-1")})
    assert [row.action for row in steps.rows] == [Action.REPLACE, Action.EXISTS]
    assert steps.replaced is old
    assert steps.pv is not None
    spec, before = steps.pv["spec"], old["spec"]
    assert {key for key in spec if spec[key] != before[key]} == {"nodeAffinity", "persistentVolumeReclaimPolicy"}
    assert spec["persistentVolumeReclaimPolicy"] == "Retain"
    assert (steps.policy, steps.pv["metadata"]["annotations"]) == ("Delete", {POLICY: "Delete"})
    assert "resourceVersion" not in steps.pv["metadata"]


def test_a_persistent_volume_that_a_pod_uses_is_not_replaced() -> None:
    held = {"pvs": {"pvc-1": existing()}, "claims": {DATA: claim("pvc-1")}, "pods": {DATA: ("web-0 on n1",)}}
    assert "pod web-0 on n1 uses it" in why(made(info(topology=ELSEWHERE), **held))


def test_a_replacement_that_was_cut_short_is_ended_and_another_deletion_is_waited_out() -> None:
    going = {**existing(), "metadata": {"name": "pvc-1", "deletionTimestamp": "now", "annotations": {POLICY: "Delete"}}}
    steps = made(info(topology=ELSEWHERE), pvs={"pvc-1": going}, claims={DATA: claim("pvc-1")})
    assert (steps.rows[0].action, steps.policy) == (Action.REPLACE, "Delete")

    elsewhere = {**existing(), "metadata": {"name": "pvc-1", "deletionTimestamp": "now"}}
    for topology in (TOPOLOGY, ELSEWHERE):
        held = {"pvs": {"pvc-1": elsewhere}, "claims": {DATA: claim("pvc-1")}}
        assert "is being deleted" in why(made(info(topology=topology), **held))

    unclaimed = made(info(topology=ELSEWHERE), pvs={"pvc-1": existing()})
    assert (unclaimed.changes, unclaimed.rows[0].action) == (False, Action.EXISTS)


def test_volumes_that_are_being_deleted_are_left_out() -> None:
    assert plan([info(deleting=True)], Held(), Wishes()) == []


def test_a_namespace_is_made_once() -> None:
    rows = [row for steps in plan([info("a"), info("b", pvc_name="data-1")], Held(), Wishes()) for row in said(steps)]
    assert rows.count(("Namespace", "shop", "create")) == 1


@pytest.mark.parametrize(
    ("classes", "chosen", "expected"),
    [
        ({}, "", names.DRIVER_NAME),
        ({}, "mine", "mine"),
        ({"hot": {f"{names.GROUP}/access-tier": "Hot"}, "cold": {}}, "", "hot"),
        ({"hot": {f"{names.GROUP}/access-tier": "Hot"}}, "mine", "mine"),
        (
            {"a": {f"{names.GROUP}/access-tier": "Hot"}, "b": {f"{names.GROUP}/access-tier": "Hot"}},
            "",
            names.DRIVER_NAME,
        ),
    ],
)
def test_a_class_that_is_not_remembered_is_guessed_by_its_parameters(
    classes: dict[str, dict[str, str]], chosen: str, expected: str
) -> None:
    found = {name: {"parameters": {**given, "csi.storage.k8s.io/fstype": "xfs"}} for name, given in classes.items()}
    volume = info(pv=None, parameters={f"{names.GROUP}/access-tier": "Hot", "csi.storage.k8s.io/pvc/name": "data-0"})
    (steps,) = plan([volume], Held(namespaces=SHOP, classes=found), Wishes(storage_class=chosen))
    assert steps.pv is not None
    assert steps.pv["spec"]["storageClassName"] == expected
    assert "guessed" in steps.rows[0].detail


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("1Ki", 1024),
        ("1k", 1000),
        ("2Gi", 2 * GIB),
        ("1500m", 1.5),
        ("1E", 10**18),
        ("x", None),
        ("-1", None),
    ],
)
def test_quantities_are_read_as_kubernetes_writes_them(text: str, expected: float | None) -> None:
    assert in_bytes(text) == expected
