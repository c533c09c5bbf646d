"""The controller needs these rights, and no others: no Secrets, no Nodes; of pods and PersistentVolumes only `get`."""

from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller as Api
from integration.controller.harness import until
from integration.controller.node import PlayedNode
from integration.kubernetes_registry.harness import DRIVES, VOLUMES, Cluster, create
from integration.kubernetes_registry.pods import G, Pods, labels_of
from integration.kubernetes_registry.test_requests import answered, discovered, init

pytestmark = pytest.mark.timeout(180)

KEPT = ["create", "delete", "get", "list", "patch", "update", "watch"]
ANSWERED = ["get", "list", "update", "watch"]
CLUSTER_RULES: list[dict[str, Any]] = [
    {"apiGroups": ["directpv.min.io"], "resources": ["directpvdrives", "directpvvolumes"], "verbs": KEPT},
    {"apiGroups": ["directpv.min.io"], "resources": ["directpvnodes", "directpvinitrequests"], "verbs": ANSWERED},
    {
        "apiGroups": ["apiextensions.k8s.io"],
        "resources": ["customresourcedefinitions"],
        "resourceNames": ["directpvdrives.directpv.min.io"],
        "verbs": ["get"],
    },
]
PODS: dict[str, Any] = {"apiGroups": [""], "resources": ["pods", "persistentvolumes"], "verbs": ["get"]}
EVENTS: dict[str, Any] = {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]}
ONE_OF_ITS_OWN = ["create", "get", "update"]
LOCAL_RULES = [
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ONE_OF_ITS_OWN},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ONE_OF_ITS_OWN},
]
"""In its own namespace; the ConfigMap says which drives were given up while their disks were away."""


def grant(cluster: Cluster, *more: dict[str, Any]) -> str:
    """Make a service account with these rights alone, and ``more``; return its kubeconfig."""
    space, name = cluster.namespace, "controller"
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": space}]
    meta, local = {"name": f"{name}-{space}"}, {"name": name, "namespace": space}
    rbac, reference = "rbac.authorization.k8s.io/v1", {"apiGroup": "rbac.authorization.k8s.io"}
    cluster.server.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": local},
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": meta, "rules": [*CLUSTER_RULES, *more]},
        {"apiVersion": rbac, "kind": "Role", "metadata": local, "rules": LOCAL_RULES},
        {
            "apiVersion": rbac,
            "kind": "ClusterRoleBinding",
            "metadata": meta,
            "roleRef": {**reference, "kind": "ClusterRole", "name": meta["name"]},
            "subjects": subjects,
        },
        {
            "apiVersion": rbac,
            "kind": "RoleBinding",
            "metadata": local,
            "roleRef": {**reference, "kind": "Role", "name": name},
            "subjects": subjects,
        },
    )
    return str(cluster.server.account(space, name))


async def test_a_service_account_with_few_rights_is_enough(cluster: Cluster, bus: Bus) -> None:
    node = PlayedNode("n1")
    node.devices = {"sdb": m.Device(name="sdb", id="8:16$x", major_minor="8:16", size=10**9)}
    controller = cluster.controller(kubeconfig=grant(cluster, PODS, EVENTS))
    async with node.running(bus):
        await until(lambda: controller.said('"leading"'), "it leads")
        (device,) = await discovered(cluster, "n1")
        assert (await answered(cluster, init("n1", device)))["status"] == "Processed"
        assert len(cluster.objects.all(DRIVES)) == 1
        await create(bus, "pvc-1")
        await bus.call(Api.VOLUME_EXPAND, m.ExpandVolume(name="pvc-1", required=2 * 1024**3))
        await until(lambda: node.volumes(), "the node has it")
        node.publish("pvc-1", "/t", **Pods(cluster).make("web-0", {f"{G}tenant": "acme"}))
        await until(lambda: node.volumes()["pvc-1"].labels == {f"{G}tenant": "acme"}, "the pod's label is there")
        node.unwritable, away = True, node.add_drive()
        await until(lambda: away in cluster.objects.all(DRIVES), "a second drive is registered")
        removal = await bus.call(Api.DRIVE_REMOVE, m.RemoveDrive(fsuuid=away), within=30)
        assert (removal.outcome, len(cluster.objects.all(DRIVES))) == (m.RemovalOutcome.REMOVED, 1)
        node.unpublish("pvc-1")
        await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="pvc-1"), within=20)
        await until(lambda: cluster.objects.find(VOLUMES, "pvc-1") is None, "it is gone")
    assert "forbidden" not in controller.log.read_text()


async def test_without_the_right_to_read_pods_their_names_are_known_and_the_reason_is_told(
    cluster: Cluster, bus: Bus
) -> None:
    node = PlayedNode("n1")
    node.add_drive()
    controller = cluster.controller(kubeconfig=grant(cluster))
    async with node.running(bus):
        await until(lambda: cluster.objects.all(DRIVES), "the drive is registered")
        await create(bus, "pvc-1")
        await until(lambda: node.volumes(), "the node has it")
        node.publish("pvc-1", "/t", **Pods(cluster).make("web-0", {f"{G}tenant": "acme"}))
        await until(lambda: labels_of(cluster, "pvc-1").get(f"{G}pod.name") == "web-0", "the pod is known")
        assert f"{G}tenant" not in labels_of(cluster, "pvc-1")
        await until(lambda: controller.said("pod cannot be read"), "the reason is told")


async def test_an_object_that_cannot_be_made_again_now_is_made_again_later(cluster: Cluster, bus: Bus) -> None:
    node = PlayedNode("n1")
    node.add_drive()
    controller = cluster.controller(kubeconfig=grant(cluster))
    async with node.running(bus):
        await until(lambda: cluster.objects.all(DRIVES), "the drive is registered")
        await create(bus, "pvc-1")
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
        role |= {"metadata": {"name": f"controller-{cluster.namespace}"}}
        reading = [{**rule, "verbs": ["get", "list", "watch"]} for rule in CLUSTER_RULES]
        cluster.server.apply({**role, "rules": reading})
        cluster.objects.erase(VOLUMES, "pvc-1")
        await until(lambda: controller.said("object not written"), "it is not made again", 30)
        assert cluster.objects.find(VOLUMES, "pvc-1") is None

        cluster.server.apply({**role, "rules": CLUSTER_RULES})
        await until(lambda: cluster.objects.find(VOLUMES, "pvc-1"), "it is made again", 30)
    assert cluster.wrong() == []


async def test_without_rights_nobody_leads_and_the_reason_is_told(cluster: Cluster) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "x", "namespace": cluster.namespace}}
    cluster.server.apply(account)
    controller = cluster.controller(kubeconfig=str(cluster.server.account(cluster.namespace, "x")))
    await until(lambda: controller.said("forbidden"), "the reason is told")
    assert not controller.said('"leading"')
