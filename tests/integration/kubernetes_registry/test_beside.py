"""A new volume's object is made beside the write of its drive: what was not reserved was promised to nobody."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from directpv_common import crd
from directpv_common.bus.bus import Bus
from directpv_common.protocol import names
from directpv_common.protocol.errors import DirectPVError
from integration.controller.harness import until
from integration.kubernetes_registry.harness import (
    DRIVES,
    GIB,
    VOLUMES,
    Cluster,
    create,
    drives,
    leads,
    upstream_drive,
    upstream_volume,
    volumes,
)
from support.kube.rest import Refused

pytestmark = pytest.mark.timeout(180)

ONE = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f30"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
NAME = "drives-stay-as-they-are"
RULE = {"apiGroups": [names.GROUP], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["directpvdrives"]}
POLICY = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicy",
    "metadata": {"name": NAME},
    "spec": {
        "matchConstraints": {"resourceRules": [RULE]},
        "validations": [{"expression": f"object.metadata.name != '{ONE}'"}],
    },
}
BINDING = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicyBinding",
    "metadata": {"name": NAME},
    "spec": {"policyName": NAME, "validationActions": ["Deny"]},
}


def refused(cluster: Cluster) -> bool:
    try:
        cluster.objects.change(DRIVES, ONE, lambda obj: obj["metadata"].setdefault("labels", {}).update(seen="yes"))
    except Refused:
        return True
    return False


@contextlib.asynccontextmanager
async def nobody_may_write_it(cluster: Cluster) -> AsyncIterator[None]:
    cluster.objects.call("POST", POLICIES, POLICY)
    cluster.objects.call("POST", BINDINGS, BINDING)
    try:
        await until(lambda: refused(cluster), "the policy holds")
        yield
    finally:
        cluster.objects.call("DELETE", f"{BINDINGS}/{NAME}")
        cluster.objects.call("DELETE", f"{POLICIES}/{NAME}")
        await until(lambda: not refused(cluster), "the policy holds no more")


async def test_a_volume_whose_drive_cannot_be_written_is_taken_back_and_its_leader_leads_on(
    cluster: Cluster, bus: Bus
) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    controller = cluster.controller()
    await create(bus, "pvc-0")
    epoch = cluster.lease["spec"]["leaseTransitions"]
    async with nobody_may_write_it(cluster):
        for _ in range(3):
            with pytest.raises(DirectPVError, match=r"not written|denied"):
                await create(bus, "pvc-1")
            assert cluster.objects.find(VOLUMES, "pvc-1") is None
        assert set(await volumes(bus)) == {"pvc-0"}

    await create(bus, "pvc-2")
    assert set(await volumes(bus)) == {"pvc-0", "pvc-2"}
    assert (await drives(bus))[ONE].free == 97 * GIB
    await until(lambda: cluster.wrong() == [], "the objects agree")
    assert set(cluster.objects.all(VOLUMES)) == {"pvc-0", "pvc-2"}
    assert (cluster.lease["spec"]["leaseTransitions"], controller.said("leading no longer")) == (epoch, False)


def as_made_by_us(cluster: Cluster, name: str, size: int, status: str) -> dict[str, Any]:
    """Return a volume's object as the leader that wrote the drive last makes it before it is staged."""
    epoch = crd.epoch_of(cluster.objects.all(DRIVES)[ONE])
    made = upstream_volume(name, ONE, size)
    made["metadata"]["annotations"] = {"registry.directpv.min.io/epoch": str(epoch)}
    made["status"] |= {"status": status, "stagingTargetPath": ""}
    return made


@pytest.mark.parametrize(("status", "left"), [("Pending", {"pvc-0", "small"}), ("Ready", {"pvc-0", "large", "small"})])
async def test_what_a_leader_that_died_did_not_reserve_is_taken_over_if_it_fits_and_goes_if_nobody_has_used_it(
    cluster: Cluster, bus: Bus, status: str, left: set[str]
) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    first = cluster.controller()
    await create(bus, "pvc-0", 90 * GIB)
    await until(lambda: cluster.wrong() == [], "it is written")
    first.kill()
    for name, size in (("large", 20 * GIB), ("small", GIB)):
        cluster.objects.call("POST", VOLUMES, as_made_by_us(cluster, name, size, status))

    second = cluster.controller("c2")
    await leads(second)

    await until(lambda: set(cluster.objects.all(VOLUMES)) == left, "what nobody was told of has gone")
    assert set(await volumes(bus)) == left
    await until(lambda: shown(cluster) == left, "the drive shows the rest")


def shown(cluster: Cluster) -> set[str]:
    held = crd.held_volumes(cluster.objects.all(DRIVES)[ONE])
    return {each.rpartition("/")[2] for each in held}
