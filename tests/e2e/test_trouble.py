"""A node loses its power, the API server and the leader are killed: what was stored and promised stays."""

import asyncio
import time

import pytest

from support.kube.cluster import OwnCluster
from support.kube.driver import NAMESPACE, Driver
from support.kube.node import KubeNode, is_ready
from support.kube.on_disk import are_served, directories, place_of
from support.kube.outage import CONTROLLERS, check_new_volumes_avoid, node_of_leader, off
from support.kube.workloads import Space, stateful_set
from support.kube.writer import MARK, Writer, checked, on, restarts

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1800)]

CLAIMS = [f"c{number}" for number in range(10)]
OUTAGE_SECONDS = 60.0
"""Longer than every lease, and than Kubernetes waits for a node."""
AGENT = "directpv-nodeagent"


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
    await machines.until(lambda: are_served(node, driver), "all drives of the node are served")
    await Writer(space, "new").start(**on(node.name))


async def is_another(node: KubeNode, mark: str, process: int) -> bool:
    """Tell whether another process has taken the place of this one."""
    return bool(found := await node.processes(mark)) and process not in found


async def test_pods_write_on_and_containers_restart_with_their_mounts_while_there_is_no_api_server(
    machines: OwnCluster, driver: Driver, space: Space
) -> None:
    watched, writer = Writer(space, "untouched"), Writer(space, "restarted")
    node = machines.node((await writer.start())["spec"]["nodeName"])
    await watched.start(**on(node.name))
    logs = [f"{place_of(await each.volume())}/log" for each in (watched, writer)]

    async def go_on() -> None:
        for log in logs:
            more = checked((await node.hand.read(log)).decode())
            await node.hand.sh(f"until [ $(tail -n 1 {log}) -gt {more} ]; do sleep 0.1; done")

    machines.plane.api.process.kill()
    began = time.monotonic()
    try:
        await go_on()
        for mark in (AGENT, MARK.format(name=writer.name)):
            process = (await node.processes(mark))[0]
            await node.hand.run("kill", "-9", str(process))
            await machines.until(
                lambda mark=mark, process=process: is_another(node, mark, process), f"{mark} runs again", 180
            )
        while time.monotonic() < began + OUTAGE_SECONDS:
            await go_on()
    finally:
        print(f"{time.monotonic() - began:.0f} s without API server")
        machines.plane.api.start_server()
    began = time.monotonic()
    await Writer(space, "afterwards").start(within=300)
    print(f"a new pod with a new volume {time.monotonic() - began:.0f} s after the API server was back")

    async def are_counted() -> bool:
        return [await each.restarts() for each in (watched, writer)] == [0, 1]

    await machines.until(are_counted, "one container was started again, the other one not")
    for each in (watched, writer):
        await each.goes_on()
        await each.written()
    await machines.until(lambda: are_served(node, driver), "all drives of the node are served")


async def leading(machines: OwnCluster, driver: Driver) -> tuple[KubeNode, int]:
    """Return the process of the controller that leads, with its node; a lease outlives a leader that was killed."""

    async def look() -> tuple[KubeNode, int] | None:
        leader = await driver.controller_leader()
        arguments = ("pods", "-n", NAMESPACE, f"--field-selector=metadata.name={leader}")
        pods = await asyncio.to_thread(machines.api.objects, *arguments)
        node = machines.node(pods[0]["spec"]["nodeName"])
        processes = await node.processes("--registry=kubernetes", f"POD_NAME={leader}")
        return (node, processes[0]) if processes else None

    found: tuple[KubeNode, int] = await machines.until(look, "a controller leads, and runs", 120)
    return found


async def test_every_claim_of_a_burst_gets_one_volume_although_one_leader_after_the_other_is_killed(
    machines: OwnCluster, driver: Driver, space: Space
) -> None:
    async def bound(part: str) -> int:
        claims = [each for each in await space.objects("pvc") if f"-{part}-" in each["metadata"]["name"]]
        return sum(each["status"].get("phase") == "Bound" for each in claims)

    began, interrupted = time.monotonic(), list[int]()
    for part in ("first", "second", "third"):  # from the second on, there is no leader yet when they are asked for
        await space.apply(stateful_set(part, 2, CLAIMS, size="8Mi", labels={"burst": "yes"}))
        node, process = await leading(machines, driver)
        interrupted.append(await machines.until(lambda part=part: bound(part), f"a claim of the {part} is bound", 180))
        await node.hand.run("kill", "-9", str(process))
    print(f"leaders killed with {interrupted} claims of 20 bound")
    assert min(interrupted) < 2 * len(CLAIMS), "no leader had anything left to do when it was killed"
    await space.ready("burst=yes", 6, 480)
    print(f"60 claims bound and used after {time.monotonic() - began:.0f} s, with three leaders killed")

    volumes = await space.volumes()
    assert len(volumes) == 6 * len(CLAIMS)
    places = await directories(machines)
    assert {places[volume["metadata"]["name"]] for volume in volumes.values()} == {1}
    driver.check_books()
    await machines.pods_ready(CONTROLLERS, 3, NAMESPACE, 300)
