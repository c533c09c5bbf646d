"""Where volumes go: classes that choose drives, room as the scheduler sees it, and many claims at once."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection
from typing import Final

import pytest

from support.kube.cluster import Cluster, OwnCluster
from support.kube.driver import NAMESPACE, Driver
from support.kube.on_disk import directories
from support.kube.workloads import CLASS, KEY, Object, Space, claim, drive_of, node_of, pod, stateful_set, storage_class

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1800)]

MIB: Final = 1 << 20
POLL_SECONDS: Final = 240.0
"""Within which the provisioner has asked for capacity again; it does so each minute, and when it made a volume."""
NO_ROOM: Final = "did not have enough free storage"
_UNITS: Final = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}


def _name(drive: Object) -> str:
    return str(drive["metadata"]["name"])


def _on(drive: Object) -> str:
    return str(drive["metadata"]["labels"][f"{KEY}/node"])


def _bytes(quantity: str) -> int:
    unit = _UNITS.get(quantity[-2:])
    return int(quantity[:-2]) * unit if unit else int(quantity)


def _room(driver: Driver, among: Collection[str] | None = None) -> dict[str, int]:
    """Return for each node the most free bytes on one drive, of all drives or of those that are named."""
    drives = driver.drives("Ready")
    room = dict.fromkeys(map(_on, drives), 0)
    for each in drives:
        if among is None or _name(each) in among:
            room[_on(each)] = max(room[_on(each)], each["status"]["freeCapacity"])
    return room


def _published(cluster: Cluster, storage_class: str) -> dict[str, int]:
    """Return for each node the largest volume of a class that the cluster has been told of."""
    return {
        each["nodeTopology"]["matchLabels"][f"{KEY}/node"]: _bytes(each["maximumVolumeSize"])
        for each in cluster.api.objects("csistoragecapacities", "-n", NAMESPACE)
        if each["storageClassName"] == storage_class
    }


@contextlib.asynccontextmanager
async def _tier(driver: Driver, drives: Collection[str], tier: str) -> AsyncIterator[None]:
    """Put drives into a tier as administrators do: by the label of their objects."""

    async def put(value: str) -> None:
        label = f"{KEY}/access-tier={value}"
        command = ("label", "directpvdrives", *drives, label, "--overwrite")
        await asyncio.to_thread(lambda: driver.cluster.api.kubectl(*command))

    await put(tier)
    try:
        yield
    finally:
        await put("Default")


@contextlib.asynccontextmanager
async def _labelled(driver: Driver, drives: Collection[str], key: str, value: str) -> AsyncIterator[None]:
    """Label drives with the plugin; take the label away afterwards."""
    chosen = [f"--ids={each}" for each in drives]
    await driver.plugin("label", "drives", f"{key}={value}", *chosen)
    try:
        yield
    finally:
        await driver.plugin("label", "drives", f"{key}-", *chosen)


# ---- classes that choose drives --------------------------------------------------------------------------------------


async def test_volumes_of_a_tier_lie_on_its_drives_and_pods_go_to_their_nodes(
    cluster: Cluster, driver: Driver, space: Space
) -> None:
    drives = driver.drives("Ready")
    nodes = sorted(set(map(_on, drives)))[:2]
    hot = {next(_name(each) for each in drives if _on(each) == node) for node in nodes}
    name = f"{space.name}-hot"
    async with _tier(driver, hot, "Hot"):
        await space.apply(storage_class(name, access_tier="hot"))
        await cluster.eventually(
            lambda: _published(cluster, name) == _room(driver, hot),
            "capacity is that of the tier's drives",
            POLL_SECONDS,
        )
        await space.apply(stateful_set("tiered", 4, ["data"], storage_class=name))
        pods = await space.ready("app=tiered", 4)
        volumes = await space.bound([f"data-tiered-{ordinal}" for ordinal in range(4)])
        assert {drive_of(each) for each in volumes.values()} <= hot
        assert {each["spec"]["nodeName"] for each in pods} <= set(nodes)


async def test_volumes_of_a_class_with_a_label_lie_on_drives_with_that_label(driver: Driver, space: Space) -> None:
    drives = driver.drives("Ready")
    chosen = {next(_name(each) for each in drives if _on(each) == node) for node in set(map(_on, drives))}
    name = f"{space.name}-own"
    claims = [f"data-{index}" for index in range(2 * len(chosen))]
    async with _labelled(driver, chosen, "medium", "quick"):
        await space.apply(
            storage_class(name, binding="Immediate", medium="quick"),
            *(claim(each, storage_class=name) for each in claims),
        )
        volumes = await space.bound(claims)
    assert {drive_of(each) for each in volumes.values()} <= chosen


async def test_claims_of_a_class_that_no_drive_meets_wait_with_the_reason(driver: Driver, space: Space) -> None:
    late, at_once = f"{space.name}-late", f"{space.name}-now"
    await space.apply(
        storage_class(late, medium="golden"),
        storage_class(at_once, binding="Immediate", medium="golden"),
        claim("now", storage_class=at_once),
        claim("late", storage_class=late),
        pod("main", ["late"]),
    )
    print(await space.told("now", "ResourceExhausted", f"without label {KEY}/medium=golden"))
    print(await space.told("main", "FailedScheduling", NO_ROOM, within=POLL_SECONDS))
    assert {each["status"]["phase"] for each in await space.objects("pvc")} == {"Pending"}
    async with _labelled(driver, [_name(driver.drives("Ready")[0])], "medium", "golden"):
        await space.bound(["now", "late"], within=2 * POLL_SECONDS)
        await space.ready("app=main", 1)


# ---- room as the scheduler sees it -----------------------------------------------------------------------------------


async def test_each_node_shows_what_its_emptiest_drive_can_take(cluster: Cluster, driver: Driver, space: Space) -> None:
    def agree() -> bool:
        return _published(cluster, CLASS) == _room(driver)

    await cluster.eventually(agree, "capacity is what the emptiest drives have", POLL_SECONDS)
    before = _room(driver)
    # As many volumes as a node has drives, each too large for two on a drive: they take from all drives of the node.
    claims = [f"data-{index}" for index in range(max(Counter(map(_on, driver.drives("Ready"))).values()))]
    size = str(min(before.values()) * 2 // 3)
    await space.apply(*(claim(each, size) for each in claims), pod("main", claims))
    (main,) = await space.ready("app=main", 1)
    node = main["spec"]["nodeName"]
    assert _room(driver)[node] <= before[node] // 2
    await cluster.eventually(agree, "capacity follows the volumes", POLL_SECONDS)


async def _fill(driver: Driver, space: Space, node: str, size: int) -> list[str]:
    """Take what drives of a node have free until none of them has ``size`` bytes; return the claims that do."""
    name, claims = f"{space.name}-{node}", list[str]()
    here = {"key": f"{KEY}/node", "values": [node]}
    where = {"allowedTopologies": [{"matchLabelExpressions": [here]}]}
    await space.apply({**storage_class(name, binding="Immediate"), **where})
    while (room := (await asyncio.to_thread(_room, driver))[node]) >= size:
        claims.append(f"{node}-{len(claims)}")
        await space.apply(claim(claims[-1], str(room), storage_class=name))
        await space.bound(claims[-1:])
    return claims


async def test_a_pod_waits_while_all_nodes_are_full_and_goes_to_the_one_that_gets_room(
    cluster: Cluster, driver: Driver, space: Space
) -> None:
    nodes, size = sorted(_room(driver)), min(400 * MIB, *_room(driver).values())
    filled = await asyncio.gather(*(_fill(driver, space, node, size) for node in nodes))
    await cluster.eventually(
        lambda: max(_published(cluster, CLASS).values()) < size, "capacity shows all nodes full", POLL_SECONDS
    )
    await space.apply(claim("data", str(size)), pod("main", ["data"]))
    print(await space.told("main", "FailedScheduling", NO_ROOM))

    await space.kubectl("delete", "pvc", filled[-1][0])
    await space.ready("app=main", 1, within=POLL_SECONDS)
    assert node_of((await space.bound(["data"]))["data"]) == nodes[-1]
    # Nobody tried in vain: the scheduler knew, so that the claim was never sent to a node that is full.
    events = await space.objects("events", "--field-selector=involvedObject.name=data")
    assert "ProvisioningFailed" not in {each["reason"] for each in events}


# ---- many claims at once ---------------------------------------------------------------------------------------------


async def _require_placed_once(driver: Driver, volumes: Collection[Object]) -> None:
    """Assert that each volume is reserved on one drive, the one that it names."""
    prefix = f"{KEY}.volume/"
    held = Counter(
        (each.removeprefix(prefix), _name(drive))
        for drive in await asyncio.to_thread(driver.drives)
        for each in drive["metadata"]["finalizers"]
    )
    names = {str(each["metadata"]["name"]): drive_of(each) for each in volumes}
    assert {volume: drive for volume, drive in held if volume in names} == names
    assert sum(count for (volume, _), count in held.items() if volume in names) == len(names)


async def test_two_hundred_claims_at_once_are_all_bound_each_placed_once(
    cluster: Cluster, driver: Driver, space: Space
) -> None:
    pods = {f"pod-{index}": [f"data-{index}-{each}" for each in range(10)] for index in range(20)}
    claims = [each for mine in pods.values() for each in mine]
    begin = time.monotonic()
    await space.apply(
        *(claim(each, "8Mi") for each in claims),
        *(pod(name, mine, labels={"burst": "yes"}) for name, mine in pods.items()),
    )
    applied = time.monotonic()
    volumes = await space.bound(claims, within=600)
    print(f"{len(claims)} claims bound {time.monotonic() - begin:.1f} s after apply began ({applied - begin:.1f} s)")
    await space.ready("burst=yes", len(pods), within=600)
    print(f"their {len(pods)} pods ready after {time.monotonic() - begin:.1f} s")
    await _require_placed_once(driver, volumes.values())
    driver.check_books()
    if isinstance(cluster, OwnCluster):
        places = await directories(cluster)
        assert {places[volume["metadata"]["name"]] for volume in volumes.values()} == {1}


async def test_claims_that_fill_every_drive_are_all_bound_at_once(driver: Driver, space: Space) -> None:
    free = [each["status"]["freeCapacity"] for each in driver.drives("Ready")]
    size = min(free) // 4 // MIB * MIB
    count = sum(each // size for each in free)
    if count > 500:
        pytest.skip("the cluster that KUBECONFIG names has too much room to be filled")
    name, claims = f"{space.name}-now", [f"data-{index}" for index in range(count)]
    begin = time.monotonic()
    await space.apply(
        storage_class(name, binding="Immediate"), *(claim(each, str(size), storage_class=name) for each in claims)
    )
    volumes = await space.bound(claims, within=300)
    print(f"{count} claims of {size // MIB} MiB bound after {time.monotonic() - begin:.1f} s")
    # Without allowedTopologies the provisioner offers every node as an alternative.
    assert {drive_of(each) for each in volumes.values()} == set(map(_name, driver.drives("Ready")))
    assert max(_room(driver).values()) < size
    await _require_placed_once(driver, volumes.values())
    driver.check_books()
