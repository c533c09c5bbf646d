"""Leaders that die while labels of pods are on their way: the next one completes, and reads nothing twice."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.errors import Unavailable
from directpv_controller.registry.kubernetes.apiserver.access import from_kubeconfig
from directpv_controller.registry.kubernetes.apiserver.client import Client, connect
from directpv_controller.registry.kubernetes.apiserver.errors import Missing
from directpv_controller.registry.kubernetes.pods import pods_of
from integration.controller.harness import until
from integration.controller.node import PlayedNode
from integration.kubernetes_registry.harness import VOLUMES, Cluster, leads
from integration.kubernetes_registry.pods import G, Pods, labels_of
from integration.kubernetes_registry.test_pods import ONE, played, volumes_on
from integration.kubernetes_registry.test_rights import PODS, grant

pytestmark = pytest.mark.timeout(300)

READS = 'directpv_controller_kubernetes_requests_total{outcome="ok",resource="pods",verb="GET"}'
WRITES = 'directpv_controller_kubernetes_requests_total{outcome="ok",resource="volumes",verb="PUT"}'


def tenant(cluster: Cluster, volume: str) -> str:
    return labels_of(cluster, volume).get(f"{G}tenant", "")


@contextlib.asynccontextmanager
async def pods_held_back(cluster: Cluster, config: str) -> AsyncIterator[None]:
    """Let the API server queue what the owner of ``config`` asks of pods, and serve none of it, while the block runs.

    Source: Kubernetes, "API Priority and Fairness": a priority level without shares.
    """
    name, space = f"no-pods-{cluster.namespace}", cluster.namespace
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["*"]}
    who = {"kind": "ServiceAccount", "serviceAccount": {"name": "controller", "namespace": space}}
    queue = {"type": "Queue", "queuing": {"queues": 1, "handSize": 1, "queueLengthLimit": 10}}
    level = {"nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0, "limitResponse": queue}
    flow = {"priorityLevelConfiguration": {"name": name}, "matchingPrecedence": 2}
    rules = [{"subjects": [who], "resourceRules": [rule]}]
    head = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "metadata": {"name": name}}
    cluster.server.apply(
        {**head, "kind": "PriorityLevelConfiguration", "spec": {"type": "Limited", "limited": level}},
        {**head, "kind": "FlowSchema", "spec": {**flow, "rules": rules}},
    )
    try:
        async with connect(from_kubeconfig(Path(config)), lambda *_: None) as client:
            await until(lambda: unanswered(client, space), "pods are held back")
        await until(lambda: held_back(cluster) == 0, "only the leader asks")
        yield
    finally:
        cluster.server.kubectl("delete", f"flowschema/{name}", f"prioritylevelconfiguration/{name}")


async def unanswered(client: Client, space: str) -> bool:
    try:
        await client.get(pods_of(space), "none", within=0.5)
    except Missing:
        return False
    except Unavailable:
        return True
    raise AssertionError("there is no such pod")


def held_back(cluster: Cluster) -> int:
    """Return how many requests for pods the API server has in its queue."""
    which = f'flow_schema="no-pods-{cluster.namespace}"'
    lines = cluster.server.get("/metrics").decode().splitlines()
    waiting = [line for line in lines if line.startswith("apiserver_flowcontrol_current_inqueue_requests{")]
    return sum(int(float(line.split()[-1])) for line in waiting if which in line)


async def test_a_leader_that_dies_while_it_reads_is_made_good_by_the_next(cluster: Cluster, bus: Bus) -> None:
    node, pods = played(), Pods(cluster)
    config = grant(cluster, PODS)
    first = cluster.controller("c1", kubeconfig=config)
    async with node.running(bus):
        await volumes_on(cluster, bus, node, "pvc-1")
        async with pods_held_back(cluster, config):
            node.publish("pvc-1", "/t", **pods.make("web-0", {f"{G}tenant": "acme"}))
            await until(lambda: held_back(cluster) == 1, "the leader reads the pod")
            await bus.call(Api.VOLUME_EXPAND, m.ExpandVolume(name="pvc-1", required=2**21))  # nobody waits for it
            assert held_back(cluster) == 1
            first.kill()
        assert labels_of(cluster, "pvc-1").keys().isdisjoint({f"{G}tenant", f"{G}pod.name"})
        cluster.controller("c2", kubeconfig=config)
        await until(lambda: tenant(cluster, "pvc-1") == "acme", "the next leader reads it")
        await until(lambda: node.volumes()["pvc-1"].labels == {f"{G}tenant": "acme"}, "the drive is told")


async def test_a_pod_that_cannot_be_read_now_is_read_later_by_the_same_leader(cluster: Cluster, bus: Bus) -> None:
    node, pods = played(), Pods(cluster)
    controller = cluster.controller("c1", lease_seconds=60.0)
    async with node.running(bus):
        await volumes_on(cluster, bus, node, "pvc-1")
        pod = pods.make("web-0", {f"{G}tenant": "acme"})
        cluster.server.process.kill()
        try:
            node.publish("pvc-1", "/t", **pod)
            await until(lambda: controller.said("pod not taken in yet"), "it gave up for now")
        finally:
            await asyncio.to_thread(cluster.server.start_server)
        await until(lambda: tenant(cluster, "pvc-1") == "acme", "a later inventory reminds it", 40)
        assert not controller.said("leading no longer")


async def test_a_leader_that_dies_before_the_drive_was_told_is_made_good_by_the_next_without_reading(
    cluster: Cluster, bus: Bus
) -> None:
    node, pods = played(), Pods(cluster)
    first = cluster.controller("c1", lease_seconds=8.0)  # a term that ends early reads once more what was under way
    async with node.running(bus):
        names = [f"pvc-{number}" for number in range(12)]
        await volumes_on(cluster, bus, node, *names)
        node.failing = 10**9
        for name in names:
            node.publish(name, f"/{name}", **pods.make(name, {f"{G}tenant": "acme"}))
        await until(lambda: all(tenant(cluster, name) == "acme" for name in names), "all objects have it")
        assert cluster.metric(first, READS) == len(names), "each pod is read once"
        assert cluster.metric(first, WRITES) == len(names), "and each volume is written once"
        assert all(obj["status"]["targetPath"] for obj in cluster.objects.all(VOLUMES).values())
        assert not any(record.labels for record in node.volumes().values())
        first.kill()
        node.failing = 0
        second = cluster.controller("c2")
        labels = {f"{G}tenant": "acme"}
        told = lambda: all(record.labels == labels for record in node.volumes().values())  # noqa: E731
        await until(told, "the drive is told", 40)
        assert cluster.metric(second, READS) == 0, "what was read before a take-over is not read again"


async def test_kills_at_any_moment_lose_no_label(cluster: Cluster, bus: Bus) -> None:
    node, pods = played(), Pods(cluster)
    leader = cluster.controller("c0")
    names = [f"pvc-{number}" for number in range(24)]
    async with node.running(bus):
        await volumes_on(cluster, bus, node, *names)
        for round in range(1, 4):
            for number, name in enumerate(names):
                node.publish(name, f"/{name}/{round}", **await asyncio.to_thread(make, pods, name, round))
                if number == 8 * round - 4:  # some are done, some under way, the last not yet seen
                    leader.kill()
                    leader = cluster.controller(f"c{round}")
            await leads(leader)
            await until(lambda r=round: settled(cluster, node, names, r), f"round {round} is complete", 60)  # type: ignore[misc]
        assert cluster.wrong() == []
        assert set(node.drives) == {ONE}


def make(pods: Pods, name: str, round: int) -> dict[str, str]:
    labels = {f"{G}tenant": f"t{round}", f"{G}suspend": "true"}
    return pods.make(name, labels) if round == 1 else pods.replace(name, labels)


def settled(cluster: Cluster, node: PlayedNode, names: list[str], round: int) -> bool:
    """Tell whether objects and drive say what the pods of this round do."""
    labels = {f"{G}tenant": f"t{round}"}
    shown = all(tenant(cluster, name) == f"t{round}" for name in names)
    return shown and all(node.volumes()[name].labels == labels for name in names)
