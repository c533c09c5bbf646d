"""Nodes are drained and deleted: volumes stay where they are, and are served again when their node is back."""

import contextlib
import json
import time
from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from support.kube.cluster import NODE_SECONDS, OwnCluster
from support.kube.driver import NAMESPACE, Driver
from support.kube.node import KubeNode
from support.kube.workloads import DRIVER, KEY, Object, Space, claim, drive_of, node_of, stateful_set, storage_class
from support.kube.writer import Writer, on

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1800)]

CONTROLLERS, SERVERS = f"selector.{KEY}=controller-controller", f"selector.{KEY}=nats"
SPREAD = {
    "maxSkew": 1,
    "topologyKey": "kubernetes.io/hostname",
    "whenUnsatisfiable": "DoNotSchedule",
    "labelSelector": {"matchLabels": {"app": "kept"}},
}


def homes(pods: list[Object]) -> dict[str, str]:
    return {pod["metadata"]["name"]: pod["spec"].get("nodeName", "") for pod in pods}


async def test_pods_of_a_drained_node_wait_for_their_volumes_there_while_other_nodes_take_new_ones(
    machines: OwnCluster, space: Space
) -> None:
    await space.apply(stateful_set("kept", 3, ["data"], topologySpreadConstraints=[SPREAD]))
    before = homes(await space.ready("app=kept", 3))
    assert set(before.values()) == {node.name for node in machines.nodes}
    for pod in before:
        await space.sh(pod, "hostname > /data/name; sync /data/name")
    node = before["kept-0"]

    async def waits() -> bool:
        pods = {pod["metadata"]["name"]: pod for pod in await space.objects("pods", "-l", "app=kept")}
        conditions = pods["kept-0"]["status"].get("conditions", []) if "kept-0" in pods else []
        return any(each["type"] == "PodScheduled" and each["status"] == "False" for each in conditions)

    flags = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=400s")
    began = time.monotonic()
    try:
        await space.kubectl("drain", node, *flags, within=430, namespaced=False)
        print(f"drained after {time.monotonic() - began:.0f} s")
        await machines.until(waits, "the pod waits for its node")
        for selector in (CONTROLLERS, SERVERS):
            assert node not in homes(await machines.pods_ready(selector, 3, NAMESPACE, 300)).values()
        assert (await Writer(space, "meanwhile").start())["spec"]["nodeName"] != node
        assert await waits()
    finally:
        await space.kubectl("uncordon", node, namespaced=False)

    assert homes(await space.ready("app=kept", 3)) == before
    for pod in before:
        assert await space.sh(pod, "cat /data/name") == pod


class Volume:
    """A volume on a node that is about to go: its claim, and what Kubernetes and we say of it."""

    def __init__(self, space: Space, name: str) -> None:
        self.space, self.writer = space, Writer(space, name)
        self.claim, self.id = name, ""

    async def start(self, node: str) -> None:
        """Use it on that node, until the controller knows that it is used there."""
        await self.writer.start(**on(node))
        self.id = (await self.writer.volume())["metadata"]["name"]
        await self.space.cluster.until(self.is_staged, f"{self.claim} is known to be staged")

    async def object(self) -> Object | None:
        """Return our object, if there is one."""
        found = await self.space.objects("directpvvolumes", f"--field-selector=metadata.name={self.id}")
        return found[0] if found else None

    async def is_staged(self) -> bool:
        found = await self.object()
        return found is not None and bool(found["status"]["stagingTargetPath"])

    async def is_unused(self) -> bool:
        return not await self.is_staged()

    async def has_pv(self) -> bool:
        return bool(await self.space.objects("pv", f"--field-selector=metadata.name={self.id}"))

    async def is_given_back(self) -> bool:
        return not await self.has_pv()

    async def is_refused(self) -> bool:
        """Tell whether Kubernetes was told why the volume is not deleted."""
        events = await self.space.objects(
            "events", "--all-namespaces", f"--field-selector=involvedObject.name={self.id}"
        )
        return any("is staged on node" in each["message"] for each in events)

    async def is_reserved(self) -> bool:
        """Tell whether its drive holds space for it."""
        found = await self.object()
        drives = await self.space.objects("directpvdrives")
        holders = [each for each in drives if f"{KEY}.volume/{self.id}" in each["metadata"]["finalizers"]]
        return found is not None and [drive_of(each) for each in holders] == [drive_of(found)]

    async def is_gone(self) -> bool:
        return not await self.has_pv() and await self.object() is None


async def home_of_leader(driver: Driver) -> str:
    """Return the node on which the controller that leads runs."""
    leader = await driver.controller_leader()
    return homes(driver.cluster.api.objects("pods", "-n", NAMESPACE, "-l", CONTROLLERS))[leader]


async def online(driver: Driver) -> dict[str, float]:
    """Return which nodes are told to be online, and when they were last heard; none if nobody leads who could tell."""
    done = await driver.plugin("info", "--output=json", check=False)
    told = json.loads(done.stdout or "[]")
    return {
        each["info"]["name"]: datetime.fromisoformat(each["last_seen"]).timestamp() for each in told if each["online"]
    }


@contextlib.asynccontextmanager
async def off(machines: OwnCluster, driver: Driver, node: KubeNode) -> AsyncIterator[None]:
    """Have the node without power in the block, and told to be offline, it alone; boot it again after the block."""
    others = {each.name for each in machines.nodes} - {node.name}

    async def is_offline() -> bool:
        # One that was connected to the NATS server of the dead node is silent too, until it has found another server.
        heard = await online(driver)
        return heard.keys() == others and min(heard.values()) > cut + 5

    began, cut = time.monotonic(), time.time()
    await node.fail()
    try:
        await machines.until(is_offline, f"{node.name} alone is told to be offline", 180)
        print(f"told to be offline {time.monotonic() - began:.0f} s after its power was cut")
        yield
    finally:
        await node.start()
        await machines.eventually(machines.all_ready, "all nodes are ready", NODE_SECONDS)


async def test_volumes_of_a_deleted_node_can_be_given_up_if_nobody_uses_them_and_are_served_when_it_is_back(
    machines: OwnCluster, driver: Driver, space: Space
) -> None:
    leading = await home_of_leader(driver)  # a new leader would not know who used what before
    node = next(node for node in machines.nodes if node.name != leading)
    kept, used, unused = volumes = [Volume(space, name) for name in ("kept", "used", "unused")]
    for volume in volumes:
        await volume.start(node.name)
    await space.kubectl("delete", "pod", "unused")
    await machines.until(unused.is_unused, "it is known that nobody uses the volume")
    written = await kept.writer.written()

    async def has_no_pods() -> bool:
        return not await space.objects("pods")

    async with off(machines, driver, node):
        await space.kubectl("delete", "node", node.name, namespaced=False)
        await machines.until(has_no_pods, "Kubernetes has cleared the pods of the node away", 240)

        # A volume that nobody uses is given back at once; its space is not, for its data is still there.
        await space.kubectl("delete", "pvc", "unused")
        await machines.until(unused.is_given_back, "the volume is given back")
        assert await unused.is_reserved()
        # One that was used when its node was last heard of is not deleted behind the back of who may still use it.
        await space.kubectl("delete", "pvc", "used")
        await machines.until(used.is_refused, "the deletion of a volume in use is refused, with the reason")
        assert await used.has_pv()
        began = time.monotonic()

    await kept.writer.start_pod(within=300)
    print(f"node booted, its volume is served {time.monotonic() - began:.0f} s after the power was back")
    assert await kept.writer.written() >= written
    assert node.name in await online(driver)
    for volume in (used, unused):
        await machines.until(volume.is_gone, f"{volume.claim} is gone", 180)
    await Writer(space, "new").start(**on(node.name))


@pytest.mark.parametrize("leads", [False, True], ids=["another-node", "the-node-of-the-leader"])
async def test_no_volume_comes_to_lie_on_a_node_that_is_offline(
    machines: OwnCluster, driver: Driver, space: Space, leads: bool
) -> None:
    """Nor if whoever leads has never heard of that node, because the leader before was lost with it."""
    topology = {"matchLabelExpressions": [{"key": f"{KEY}/identity", "values": [DRIVER]}]}
    anywhere = storage_class("anywhere", binding="Immediate") | {"allowedTopologies": [topology]}
    names = [f"new{number}" for number in range(8)]
    leading = await home_of_leader(driver)
    node = next(node for node in machines.nodes if (node.name == leading) is leads)
    async with off(machines, driver, node):
        await space.apply(anywhere, *(claim(name, storage_class="anywhere") for name in names))
        homes = {node_of(volume) for volume in (await space.bound(names)).values()}
    assert homes == {other.name for other in machines.nodes} - {node.name}
