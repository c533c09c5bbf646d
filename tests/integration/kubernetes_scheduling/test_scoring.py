"""Which node a claim goes to: the real scheduler and provisioner, by what the leader says of each node's drives."""

import json
from collections.abc import Callable
from typing import Final

import pytest

from directpv_common.protocol.names import DRIVER_NAME
from integration.kubernetes_scheduling.world import Room, World

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1200)]

GIB: Final = 1024**3
DISTINCT: Final = 1.05
"""Times as much room has the one node than the other: the scheduler counts in hundredths of what a claim fills."""


def preferred(told: dict[str, Room], size: int, choose: Callable[..., str]) -> str:
    """Return the node with most room (``max``) or with least (``min``), of those that can take a claim."""
    able = {node: room.total for node, room in told.items() if room.largest >= size}
    chosen = choose(able, key=lambda node: able[node])
    others = sorted(total / able[chosen] for node, total in able.items() if node != chosen)
    assert all(other > DISTINCT or other < 1 / DISTINCT for other in others), f"the test chose badly: {able}"
    return chosen


async def test_claims_go_one_after_the_other_to_the_node_whose_drives_have_most_free_together(world: World) -> None:
    """Up to the last claim, more than one node has a drive that is as empty as any: the sum is what tells."""
    for number in range(3):
        name, told = f"spread-{number}", await world.told()
        await world.claim(name, 40 * GIB)
        await world.run(name)
        assert await world.node_of(name) == preferred(told, 40 * GIB, max)
        assert await world.drive_of(name) == await world.node_of(name)


async def test_with_the_profile_of_the_document_claims_fill_the_fullest_node_that_has_a_drive_for_them(
    world: World,
) -> None:
    passed_by = set[str]()
    for number in range(4):
        name, told = f"fill-{number}", await world.told()
        chosen = preferred(told, 60 * GIB, min)
        await world.claim(name, 60 * GIB)
        await world.run(name, scheduler="fill-nodes")
        assert await world.node_of(name) == chosen
        assert await world.drive_of(name) == chosen
        passed_by |= {node for node, room in told.items() if 60 * GIB <= room.total < told[chosen].total}
    assert passed_by, "a fuller node has room enough in all, and on no drive"


async def test_a_pod_waits_until_our_agent_is_registered_on_the_node_of_its_volume(world: World) -> None:
    await world.told()
    await world.claim("kept", GIB)
    await world.run("first", of="kept")
    node = await world.node_of("first")
    kubectl = world.server.kubectl
    kubectl("delete", "pod", "first", "-n", "default", "--force", "--grace-period=0")
    (registered,) = (each["spec"]["drivers"] for each in world.csi_nodes() if each["metadata"]["name"] == node)
    await _register(world, node, [])
    await world.run("second", of="kept")

    def refused() -> bool:
        conditions = world.pod("second").get("status", {}).get("conditions", [])
        why = " ".join(each.get("message", "") for each in conditions if each["type"] == "PodScheduled")
        return f"{DRIVER_NAME} CSI driver is not installed on the node" in why

    await world.until(lambda: refused() or world.pod("second")["spec"].get("nodeName"), "the scheduler has looked")
    assert refused(), "it is bound to a node on which nothing can mount its volume"
    await _register(world, node, registered)
    assert await world.node_of("second") == node


async def _register(world: World, node: str, drivers: list[dict[str, object]]) -> None:
    """Have the node's CSINode name these drivers, as kubelet does."""
    patch = json.dumps({"spec": {"drivers": drivers}})
    world.server.kubectl("patch", "csinode", node, "--type=merge", f"--patch={patch}")
