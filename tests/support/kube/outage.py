"""A node without power, as the installation sees it."""

import contextlib
import json
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from support.kube.cluster import NODE_SECONDS, OwnCluster
from support.kube.driver import NAMESPACE, Driver
from support.kube.node import KubeNode
from support.kube.workloads import DRIVER, KEY, Space, claim, node_of, storage_class

CONTROLLERS: Final = f"selector.{KEY}=controller-controller"
HEARTBEAT_SECONDS: Final = 5.0


async def node_of_leader(machines: OwnCluster, driver: Driver) -> KubeNode:
    """Return the node on which the controller that leads runs."""
    leader = await driver.controller_leader()
    pods = machines.api.objects("pods", "-n", NAMESPACE, "-l", CONTROLLERS)
    (name,) = (pod["spec"]["nodeName"] for pod in pods if pod["metadata"]["name"] == leader)
    return machines.node(name)


async def online(driver: Driver) -> dict[str, float]:
    """Return which nodes are told to be online, and when they were last heard; none if nobody leads who could tell."""
    done = await driver.plugin("info", "--output=json", check=False)
    told = [each for each in json.loads(done.stdout or "[]") if each["online"]]
    return {each["info"]["name"]: datetime.fromisoformat(each["last_seen"]).timestamp() for each in told}


@contextlib.asynccontextmanager
async def off(machines: OwnCluster, driver: Driver, node: KubeNode) -> AsyncIterator[None]:
    """Have the node without power in the block, and told to be offline, it alone; boot it again after the block."""
    others = {each.name for each in machines.nodes} - {node.name}

    async def is_offline() -> bool:
        # One that was connected to the NATS server of the dead node is silent too, until it has found another server.
        heard = await online(driver)
        return heard.keys() == others and min(heard.values()) > cut + HEARTBEAT_SECONDS

    began, cut = time.monotonic(), time.time()
    await node.fail()
    try:
        await machines.until(is_offline, f"{node.name} alone is told to be offline", 180)
        print(f"told to be offline {time.monotonic() - began:.0f} s after its power was cut")
        yield
    finally:
        began = time.monotonic()
        await node.start()
        await machines.eventually(machines.all_ready, "all nodes are ready", NODE_SECONDS)
        print(f"node booted in {time.monotonic() - began:.0f} s")


async def check_new_volumes_avoid(node: KubeNode, machines: OwnCluster, space: Space) -> None:
    """Assert that volumes that may lie anywhere come to lie on all nodes but this one."""
    topology = {"matchLabelExpressions": [{"key": f"{KEY}/identity", "values": [DRIVER]}]}
    anywhere = storage_class("anywhere", binding="Immediate") | {"allowedTopologies": [topology]}
    names = [f"anywhere{number}" for number in range(8)]
    await space.apply(anywhere, *(claim(name, storage_class="anywhere") for name in names))
    homes = {node_of(volume) for volume in (await space.bound(names)).values()}
    assert homes == {other.name for other in machines.nodes} - {node.name}
