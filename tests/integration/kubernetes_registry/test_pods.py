"""Labels of a pod go onto the volume that it uses, as with upstream; those that decide something do not."""

import asyncio
import contextlib
import json
import urllib.request
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.crd import RECORD, volume_from_object
from directpv_common.crd.persistent_volumes import pv_object
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.api import Node
from directpv_controller.registry.kubernetes.apiserver.access import from_kubeconfig
from directpv_controller.registry.kubernetes.apiserver.client import connect
from directpv_controller.registry.kubernetes.pods import pod_reader, pods_of
from integration.controller.harness import until
from integration.controller.node import PlayedNode
from integration.kubernetes_registry.harness import DRIVES, VOLUMES, Cluster, create, leads
from integration.kubernetes_registry.pods import G, Pods, ignored, labels_of
from integration.kubernetes_registry.test_requests import answered, discovered, init
from integration.nodeagent.harness import MIB, AgentProcess, Loops, scratch
from support.nats import NatsServer
from support.node_client import Client

pytestmark = pytest.mark.timeout(240)

PVS = "/api/v1/persistentvolumes"
ONE = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"
CLAIM = "0e5f6ab7-6d5d-4a5b-8f61-5d9e4b0c1a2b"
RESERVED = {
    **dict.fromkeys(("suspend", "migrated", "v1beta1", f"volume-claim-id-{CLAIM}"), "true"),
    **dict.fromkeys(("drive", "claim-id", "volume-claim-id", "request-id"), CLAIM),
    **dict.fromkeys(("node", "identity", "rack", "zone", "region", "drive-name", "version", "created-by"), "evil"),
    **dict.fromkeys(("access-tier", "pod.name", "pod.namespace", "image-tag"), "evil"),
}


async def volumes_on(cluster: Cluster, bus: Bus, node: PlayedNode, *names: str) -> None:
    """Wait for the drive, make volumes on it, and wait until the node has them."""
    await until(lambda: cluster.objects.find(DRIVES, ONE), "the drive is registered")
    await asyncio.gather(*(create(bus, name, 2**20) for name in names))
    await until(lambda: set(names) <= node.volumes().keys(), "the node has the volumes")


def played() -> PlayedNode:
    node = PlayedNode("n1")
    node.add_drive(fsuuid=ONE)
    return node


async def test_labels_of_a_pod_reach_the_object_the_list_and_the_drive(cluster: Cluster, bus: Bus) -> None:
    node, pods = played(), Pods(cluster)
    cluster.controller()
    async with node.running(bus):
        await volumes_on(cluster, bus, node, "pvc-1", "pvc-2")
        node.publish("pvc-1", "/t", **pods.make("web-0", {f"{G}tenant": "acme", f"{G}app": "shop", "app": "nginx"}))
        await until(lambda: labels_of(cluster, "pvc-1").get(f"{G}tenant") == "acme", "the object has them")
        shown = labels_of(cluster, "pvc-1")
        assert (shown[f"{G}app"], shown[f"{G}pod.name"]) == ("shop", "web-0"), "pod and labels come together"
        assert "app" not in shown

        labels = {f"{G}tenant": "acme", f"{G}app": "shop"}
        await until(lambda: node.volumes()["pvc-1"].labels == labels, "the drive has them, for the agent's metrics")
        page = await bus.call(Api.VOLUME_LIST, m.ListVolumes(labels={f"{G}tenant": "acme"}), within=20)
        assert [info.record.name for info in page.volumes] == ["pvc-1"]
        assert f"{G}tenant" not in labels_of(cluster, "pvc-2")


async def test_reserved_keys_of_a_pod_change_nothing_and_are_told(cluster: Cluster, bus: Bus) -> None:
    node, pods = played(), Pods(cluster)
    controller = cluster.controller()
    async with node.running(bus):
        await volumes_on(cluster, bus, node, "pvc-1")
        before = labels_of(cluster, "pvc-1")
        evil = {f"{G}{key}": value for key, value in RESERVED.items()}
        pod = pods.make("evil", {**evil, f"{G}tenant": "acme"})
        node.publish("pvc-1", "/t", **pod)
        await until(lambda: f"{G}tenant" in labels_of(cluster, "pvc-1"), "the pod is taken in")

        by_us = {f"{G}tenant": "acme", f"{G}pod.name": "evil", f"{G}pod.namespace": cluster.namespace}
        assert labels_of(cluster, "pvc-1") == {**before, **by_us}
        await until(lambda: node.volumes()["pvc-1"].labels == {f"{G}tenant": "acme"}, "no more reaches the drive")
        (told,) = await until(lambda: ignored(controller.log.read_text()), "the log tells it")
        assert (told["pod"], told["namespace"], set(told["labels"])) == ("evil", cluster.namespace, set(evil))
        assert cluster.wrong() == []


async def test_a_later_pod_of_the_same_name_brings_its_labels_and_those_of_the_former_stay(
    cluster: Cluster, bus: Bus
) -> None:
    node, pods = played(), Pods(cluster)
    cluster.controller()
    async with node.running(bus):
        await volumes_on(cluster, bus, node, "pvc-1")
        node.publish("pvc-1", "/t1", **pods.make("db-0", {f"{G}tenant": "acme", f"{G}app": "db"}))
        await until(lambda: labels_of(cluster, "pvc-1").get(f"{G}tenant") == "acme", "the first pod is taken in")
        node.publish("pvc-1", "/t2", **pods.replace("db-0", {f"{G}tenant": "umbrella"}))
        await until(lambda: labels_of(cluster, "pvc-1").get(f"{G}tenant") == "umbrella", "the second is taken in")
        assert labels_of(cluster, "pvc-1")[f"{G}app"] == "db"


async def test_a_pod_that_is_gone_or_was_replaced_does_no_harm(cluster: Cluster, bus: Bus) -> None:
    node, pods = played(), Pods(cluster)
    cluster.controller()
    async with node.running(bus):
        await volumes_on(cluster, bus, node, "pvc-1", "pvc-2", "pvc-3")
        gone = pods.make("gone-0", {f"{G}tenant": "acme"})
        pods.remove("gone-0")
        node.publish("pvc-1", "/t1", **gone)
        former = pods.make("db-0", {f"{G}tenant": "acme"})
        pods.replace("db-0", {f"{G}tenant": "umbrella"})
        node.publish("pvc-2", "/t2", **former)
        node.publish("pvc-3", "/t3", pod_name="../x", pod_namespace=cluster.namespace, pod_uid="u")
        for volume in ("pvc-1", "pvc-2", "pvc-3"):
            await until(lambda name=volume: f"{G}pod.name" in labels_of(cluster, name), "the pod is noted")  # type: ignore[misc]
            assert f"{G}tenant" not in labels_of(cluster, volume)
        node.publish("pvc-1", "/t4", **pods.make("web-0", {f"{G}tenant": "umbrella"}))
        await until(lambda: labels_of(cluster, "pvc-1").get(f"{G}tenant") == "umbrella", "later pods are taken in")
        assert cluster.wrong() == []


async def test_what_people_change_stays_through_restarts_and_pods_that_say_nothing_of_it(
    cluster: Cluster, bus: Bus
) -> None:
    node, pods = played(), Pods(cluster)
    first = cluster.controller()
    async with node.running(bus):
        await volumes_on(cluster, bus, node, "pvc-1")
        node.publish("pvc-1", "/t1", **pods.make("web-0", {f"{G}tenant": "acme", f"{G}app": "shop"}))
        await until(lambda: f"{G}tenant" in labels_of(cluster, "pvc-1"), "the pod is taken in")

        def by_hand(obj: dict) -> None:  # type: ignore[type-arg]
            obj["metadata"]["labels"] |= {f"{G}tenant": "by-hand", "example.com/bill": "42"}
            del obj["metadata"]["labels"][f"{G}app"]

        cluster.objects.change(VOLUMES, "pvc-1", by_hand)
        edited = {f"{G}tenant": "by-hand", "example.com/bill": "42"}
        await until(lambda: node.volumes()["pvc-1"].labels == edited, "the drive is told")
        first.kill()
        second = cluster.controller("c2")
        await leads(second)
        node.publish("pvc-1", "/t2", **pods.make("web-1", {f"{G}organization": "x"}))
        await until(lambda: node.volumes()["pvc-1"].labels.get(f"{G}organization") == "x", "a later pod is taken in")
        assert node.volumes()["pvc-1"].labels == {**edited, f"{G}organization": "x"}
        shown = labels_of(cluster, "pvc-1")
        assert {key: shown.get(key) for key in edited} == edited
        assert f"{G}app" not in shown


async def test_what_the_persistent_volume_says_is_kept_in_the_registry_and_on_the_drive(
    cluster: Cluster, bus: Bus
) -> None:
    node, pods = played(), Pods(cluster)
    claim = {"namespace": cluster.namespace, "name": "data-web-0"}
    kept = m.KeptPv(storage_class="fast", reclaim_policy="Retain", access_modes=("ReadWriteOncePod",), fs_type="xfs")
    first = cluster.controller()
    async with node.running(bus):
        await volumes_on(cluster, bus, node, "pvc-kept-1", "pvc-kept-2")
        topology = {names.NODE: "n1"}
        for name in ("pvc-kept-1", "pvc-kept-2"):
            cluster.objects.call("POST", PVS, pv_object(node.volumes()[name], topology, kept, claim))
        try:
            node.publish("pvc-kept-1", "/t", **pods.make("web-0", {}))
            await until(lambda: node.volumes()["pvc-kept-1"].pv == kept, "the drive remembers it")
            record = node.volumes()["pvc-kept-1"]
            assert (record.pvc_namespace, record.pvc_name) == (cluster.namespace, "data-web-0")
            stored = cluster.objects.find(VOLUMES, "pvc-kept-1")
            assert stored is not None
            assert volume_from_object(stored)[0].pv == kept

            forgotten = pods.make("web-1", {})
            first.end()
            node.publish("pvc-kept-2", "/t2", **forgotten)
            strip(cluster, "pvc-kept-2", forgotten)
            await leads(cluster.controller("c2"))
            await until(lambda: node.volumes()["pvc-kept-2"].pv == kept, "so it does of a pod that was known before")
        finally:
            for name in ("pvc-kept-1", "pvc-kept-2"):
                cluster.objects.erase(PVS, name)


def strip(cluster: Cluster, name: str, pod: dict[str, Any]) -> None:
    """Let the registry know the pod of a volume, as a controller does that keeps nothing of PersistentVolumes."""

    def change(obj: dict[str, Any]) -> None:
        labels = obj["metadata"]["labels"]
        labels[f"{G}pod.name"], labels[f"{G}pod.namespace"] = pod["pod_name"], pod["pod_namespace"]
        extra = json.loads(obj["metadata"]["annotations"][RECORD])
        obj["metadata"]["annotations"][RECORD] = json.dumps({**extra, "pod_uid": pod["pod_uid"]})

    cluster.objects.change(VOLUMES, name, change)


async def test_only_metadata_of_a_pod_is_sent_and_no_name_leads_elsewhere(cluster: Cluster) -> None:
    pod = Pods(cluster).make("web-0", {f"{G}tenant": "acme"})
    record = m.VolumeRecord(name="pvc-1", fsuuid=ONE, capacity=1, **pod)
    calls: list[str] = []
    async with connect(from_kubeconfig(cluster.server.admin), lambda *call: calls.append(" ".join(call))) as client:
        sent = await client.get(pods_of(cluster.namespace), "web-0")
        assert (sent["kind"], "spec" in sent, "status" in sent) == ("PartialObjectMetadata", False, False)
        read = pod_reader(client)
        assert await read(record) == {f"{G}tenant": "acme"}
        calls.clear()
        for name, namespace in (("../web-0", cluster.namespace), ("x", "../../secrets"), ("a/log", "b"), ("", "")):
            odd = m.VolumeRecord(name="pvc-1", fsuuid=ONE, capacity=1, pod_name=name, pod_namespace=namespace)
            assert await read(odd) == {}
    assert calls == []


async def test_the_agents_metrics_name_the_tenant(cluster: Cluster, nats: NatsServer, bus: Bus) -> None:
    pods = Pods(cluster)
    with (
        scratch() as base,
        contextlib.closing(Loops(base)) as loops,
        contextlib.closing(AgentProcess(base, nats.port)) as agent,
    ):
        agent.start(loops.make())
        await leads(cluster.controller())
        client = Client(bus, "n1")
        await agent.answers(client)
        (device,) = await discovered(cluster, "n1")
        assert (await answered(cluster, init("n1", device)))["status"] == "Processed"
        info = await create(bus, "pvc-1", 8 * MIB)
        staging, target = str(base / "staging"), str(base / "target")
        stage = m.StageVolume(
            name="pvc-1", staging_path=staging, fsuuid=info.record.fsuuid, capacity=info.record.capacity
        )
        await client.ask(Node.VOLUME_STAGE, stage)
        pod = pods.make("web-0", {f"{G}tenant": "acme"})
        await client.ask(
            Node.VOLUME_PUBLISH, m.PublishVolume(name="pvc-1", staging_path=staging, target_path=target, **pod)
        )

        async def named() -> bool:
            text = await asyncio.to_thread(fetch, f"http://127.0.0.1:{agent.metrics_port}/directpv/metrics")
            return 'directpv_stats_bytes_total{node="n1",tenant="acme",volumeID="pvc-1"}' in text

        await until(named, "the metrics name the tenant")


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as reply:
        return str(reply.read().decode())
