"""A node loses its power, the API server and the leader are killed: what was stored and promised stays."""

import time
from collections import Counter

import pytest

from support.kube.cluster import OwnCluster
from support.kube.driver import NAMESPACE, Driver
from support.kube.node import KubeNode, is_ready
from support.kube.outage import CONTROLLERS, check_new_volumes_avoid, node_of_leader, off
from support.kube.workloads import Space, drive_of, node_of, stateful_set
from support.kube.writer import MARK, Writer, checked, on, restarts

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1800)]

MOUNTS = "/var/lib/directpv/mnt"
CLAIMS = [f"c{number}" for number in range(10)]


async def check_served(node: KubeNode, driver: Driver) -> None:
    """Assert that all drives of a node are Ready, and mounted there."""
    mine = [drive for drive in driver.drives() if node_of(drive) == node.name]
    mounts = (await node.hand.read("/proc/mounts")).decode()
    assert mine
    for drive in mine:
        assert drive["status"]["status"] == "Ready"
        assert f" {MOUNTS}/{drive_of(drive)} xfs " in mounts


async def test_a_node_that_lost_its_power_gets_no_volumes_and_runs_its_pods_again_with_what_they_wrote(
    machines: OwnCluster, driver: Driver, space: Space
) -> None:
    leading = await node_of_leader(machines, driver)
    node = next(node for node in machines.nodes if node is not leading)
    writer = Writer(space, "kept")
    await writer.start(**on(node.name))
    written, before = await writer.written(), await writer.restarts()

    async def is_again() -> bool:
        pod = await writer.pod()
        return restarts(pod) > before and is_ready(pod)

    async with off(machines, driver, node):
        await check_new_volumes_avoid(node, machines, space)
    booted = time.monotonic()
    await machines.until(is_again, "the pod is ready again", 300)
    print(f"pod ready again {time.monotonic() - booted:.0f} s after the node")

    assert await writer.written() >= written
    await writer.goes_on()
    assert (await writer.pod())["spec"]["nodeName"] == node.name
    await check_served(node, driver)
    await Writer(space, "new").start(**on(node.name))


async def test_pods_write_on_and_containers_restart_with_their_mounts_while_there_is_no_api_server(
    machines: OwnCluster, driver: Driver, space: Space
) -> None:
    writer = Writer(space, "unwatched")
    node = machines.node((await writer.start())["spec"]["nodeName"])
    volume, mark = await writer.volume(), MARK.format(name=writer.name)
    log = f"{MOUNTS}/{drive_of(volume)}/{volume['metadata']['name']}/log"
    process = (await node.processes(mark))[0]

    async def goes_on() -> None:
        more = checked((await node.hand.read(log)).decode())
        await node.hand.sh(f"until [ $(tail -n 1 {log}) -gt {more} ]; do sleep 0.1; done")

    async def is_another() -> bool:
        return bool(found := await node.processes(mark)) and found[0] != process

    machines.plane.api.process.kill()
    try:
        await goes_on()
        await node.hand.run("kill", "-9", str(process))
        await machines.until(is_another, "the container runs again", 180)
        await goes_on()
    finally:
        machines.plane.api.start_server()
    began = time.monotonic()
    await Writer(space, "afterwards").start(within=300)
    print(f"a new pod with a new volume {time.monotonic() - began:.0f} s after the API server was back")
    await writer.goes_on()
    await writer.written()
    assert await writer.restarts() == 1
    await check_served(node, driver)


async def kill_leader(machines: OwnCluster, driver: Driver) -> None:
    """Kill the process of the controller that leads."""
    node, leader = await node_of_leader(machines, driver), await driver.controller_leader()
    (process,) = await node.processes("--registry=kubernetes", f"POD_NAME={leader}")
    await node.hand.run("kill", "-9", str(process))


async def directories(machines: OwnCluster) -> Counter[str]:
    """Count the directories of each volume on all drives of all nodes."""
    found: Counter[str] = Counter()
    for node in machines.nodes:
        paths = await node.hand.sh(f"ls -d {MOUNTS}/*/pvc-* 2>/dev/null || true")
        found.update(path.rpartition("/")[2] for path in paths.split())
    return found


async def test_every_claim_of_a_burst_gets_one_volume_although_one_leader_after_the_other_is_killed(
    machines: OwnCluster, driver: Driver, space: Space
) -> None:
    async def is_bound(part: str) -> bool:
        claims = [each for each in await space.objects("pvc") if f"-{part}-" in each["metadata"]["name"]]
        return any(each["status"].get("phase") == "Bound" for each in claims)

    began = time.monotonic()
    for part in ("first", "second", "third"):  # from the second on, there is no leader yet when they are asked for
        await space.apply(stateful_set(part, 2, CLAIMS, size="8Mi", labels={"burst": "yes"}))
        await machines.until(lambda part=part: is_bound(part), f"a claim of the {part} is bound", 180)
        await kill_leader(machines, driver)
    await space.ready("burst=yes", 6, 480)
    print(f"60 claims bound and used after {time.monotonic() - began:.0f} s, with three leaders killed")

    volumes = await space.volumes()
    assert len(volumes) == 6 * len(CLAIMS)
    places = await directories(machines)
    assert {places[volume["metadata"]["name"]] for volume in volumes.values()} == {1}
    driver.check_books()
    await machines.pods_ready(CONTROLLERS, 3, NAMESPACE, 300)
