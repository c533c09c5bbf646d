"""Nodes are drained and deleted: volumes stay where they are, and are served again when their node is back."""

import time

import pytest

from support.kube.cluster import OwnCluster
from support.kube.driver import NAMESPACE, Driver
from support.kube.outage import CONTROLLERS, check_new_volumes_avoid, node_of_leader, off, online
from support.kube.workloads import KEY, Object, Space, drive_of, stateful_set
from support.kube.writer import Writer, on

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1800)]

SERVERS = f"selector.{KEY}=nats"
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


async def test_a_deleted_node_gets_no_volumes_and_its_own_are_given_up_if_unused_or_served_when_it_is_back(
    machines: OwnCluster, driver: Driver, space: Space
) -> None:
    node = await node_of_leader(machines, driver)  # who leads then has never heard of it, nor of who uses what there
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
        await check_new_volumes_avoid(node, machines, space)
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

    async def is_online() -> bool:
        return node.name in await online(driver)

    await machines.until(is_online, "the node is told to be online")
    for volume in (used, unused):
        await machines.until(volume.is_gone, f"{volume.claim} is gone", 180)
    await Writer(space, "new").start(**on(node.name))
