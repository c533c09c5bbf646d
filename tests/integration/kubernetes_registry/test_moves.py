"""Moves with custom resources as registry: objects that upstream's tools read, and a flip that no crash splits."""

import asyncio
import random

import pytest

import directpv_common.protocol.messages as m
from directpv_common import crd
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.errors import DirectPVError
from integration.controller.harness import Controller, until
from integration.controller.node import PlayedNode
from integration.kubernetes_registry.harness import DRIVES, GIB, VOLUMES, Cluster, create, volumes

pytestmark = pytest.mark.timeout(300)
LEASE = 3.0


async def move(bus: Bus, name: str, **asked: object) -> m.MoveStatus:
    return await bus.call(Api.VOLUME_MOVE, m.MoveVolume(name=name, **asked), within=30)  # type: ignore[arg-type]


async def record(bus: Bus, name: str) -> m.VolumeRecord:
    return (await volumes(bus))[name].record


async def test_a_move_is_seen_on_the_objects_as_upstreams_tools_read_them(cluster: Cluster, bus: Bus) -> None:
    node = PlayedNode("n1")
    first, second = node.add_drive(), node.add_drive(device="sdb")
    node.looks = 10**9
    cluster.controller()
    async with node.running(bus):
        await until(lambda: len(cluster.objects.all(DRIVES)) == 2, "the drives are registered")
        before = (await create(bus, "pvc-1", GIB)).record
        old, new = before.fsuuid, ({first, second} - {before.fsuuid}).pop()
        await until(lambda: "pvc-1" in node.volumes(), "the node has the volume")
        await move(bus, "pvc-1", target=new, limit=7)

        kept = crd.volume_from_object(cluster.objects.all(VOLUMES)["pvc-1"])[0]
        assert kept.moving is not None
        assert (kept.fsuuid, kept.moving.drive, kept.moving.phase, kept.moving.limit) == (old, new, "Copying", 7)
        assert cluster.wrong() == []
        node.looks = 0
        await until(lambda: "pvc-1" not in node.drives[old].volumes, "the source is gone")
        await until(lambda: cluster.wrong() == [], "the objects agree with each other")

        obj = cluster.objects.all(VOLUMES)["pvc-1"]
        moved = crd.volume_from_object(obj)[0]
        assert (moved.fsuuid, moved.moving, moved.origins) == (new, None, (old,))
        labels = obj["metadata"]["labels"]
        assert labels["directpv.min.io/drive"] == new
        assert labels["directpv.min.io/drive-name"] == node.drives[new].record.device
        drives = cluster.objects.all(DRIVES)
        assert drives[old]["metadata"]["finalizers"] == ["directpv.min.io/data-protection"]
        assert drives[old]["status"]["freeCapacity"] == 99 * GIB
        assert "directpv.min.io.volume/pvc-1" in drives[new]["metadata"]["finalizers"]


async def test_a_cancelled_move_leaves_the_objects_as_they_were(cluster: Cluster, bus: Bus) -> None:
    node = PlayedNode("n1")
    node.add_drive()
    node.add_drive()
    node.looks = 10**9
    cluster.controller()
    async with node.running(bus):
        await until(lambda: len(cluster.objects.all(DRIVES)) == 2, "the drives are registered")
        before = (await create(bus, "pvc-1", GIB)).record
        await move(bus, "pvc-1")
        await move(bus, "pvc-1", cancel=True)

        async def settled() -> bool:
            return (await record(bus, "pvc-1")).moving is None

        while not await settled():  # the test's own limit of time holds
            await asyncio.sleep(0.1)
        assert (await record(bus, "pvc-1")).fsuuid == before.fsuuid
        await until(lambda: cluster.wrong() == [], "the objects agree with each other")


def served(node: PlayedNode, name: str) -> list[str]:
    """The drives from which a pod would be given the volume."""
    return [fsuuid for fsuuid, drive in node.drives.items() if name in drive.volumes and name not in drive.sealed]


async def kill(cluster: Cluster, chance: random.Random, rounds: int) -> None:
    """Kill a controller or the API server, again and again."""
    running: dict[str, Controller] = {f"c{n}": cluster.controller(f"c{n}", lease_seconds=LEASE) for n in (1, 2)}
    for number in range(3, 3 + rounds):
        await asyncio.sleep(chance.uniform(1.0, 4.0))
        if chance.random() < 0.3:
            cluster.server.process.kill()
            await asyncio.to_thread(cluster.server.start_server)
        else:
            running.pop(chance.choice(sorted(running))).kill()
            running[f"c{number}"] = cluster.controller(f"c{number}", lease_seconds=LEASE)


@pytest.mark.parametrize("seed", [20261130])
async def test_whatever_is_killed_each_volume_is_on_one_drive_and_node_and_objects_agree(
    cluster: Cluster, bus: Bus, seed: int
) -> None:
    chance = random.Random(seed)
    node = PlayedNode("n1")
    for _ in range(3):
        node.add_drive()
    async with node.running(bus):
        killing = asyncio.create_task(kill(cluster, chance, 10))
        await until(lambda: len(cluster.objects.all(DRIVES)) == 3, "the drives are registered", 60)
        names = [f"pvc-{number}" for number in range(6)]
        for name in names:
            await create(bus, name, GIB, within=60)
        moved = 0
        while not killing.done():
            name = chance.choice(names)
            try:
                await bus.call(Api.VOLUME_MOVE, m.MoveVolume(name=name, cancel=chance.random() < 0.2), within=5)
                moved += 1
                use = node.publish if chance.random() < 0.5 else None
                if use is not None and not any(name in drive.sealed for drive in node.drives.values()):
                    use(name, f"/pods/{name}")  # what is shown of it is written beside the move
                    node.unpublish(name)
            except DirectPVError:
                pass
            assert all(
                sum(name in d.volumes and name not in d.sealed for d in node.drives.values()) <= 1 for name in names
            )
            await asyncio.sleep(0.1)
        await killing
        assert moved > 10

        shown = await volumes(bus)
        while any(info.record.moving is not None for info in shown.values()):
            await asyncio.sleep(0.2)
            shown = await volumes(bus)
        await until(lambda: cluster.wrong() == [], "the objects agree with each other", 60)
        for name in names:
            homes = [fsuuid for fsuuid, drive in node.drives.items() if name in drive.volumes]
            assert homes == [shown[name].record.fsuuid]
            assert all(name not in drive.sealed for drive in node.drives.values())
            assert crd.volume_from_object(cluster.objects.all(VOLUMES)[name])[0].fsuuid == homes[0]


async def test_objects_that_were_restored_from_before_a_move_show_the_volume_where_it_is(
    cluster: Cluster, bus: Bus
) -> None:
    """As after etcd was restored from a backup."""
    node = PlayedNode("n1")
    first, second = node.add_drive(), node.add_drive(device="sdb")
    leader = cluster.controller("c1")
    async with node.running(bus):
        await until(lambda: len(cluster.objects.all(DRIVES)) == 2, "the drives are registered")
        old = (await create(bus, "pvc-1", GIB)).record.fsuuid
        (new,) = {first, second} - {old}
        await until(lambda: "pvc-1" in node.volumes(), "the node has the volume")
        backup = {path: cluster.objects.all(path) for path in (DRIVES, VOLUMES)}
        await move(bus, "pvc-1", target=new)
        await until(lambda: "pvc-1" not in node.drives[old].volumes, "the source is gone")
        await until(lambda: cluster.wrong() == [], "the objects agree with each other")
        leader.kill()
        for path, objects in backup.items():
            for name, obj in objects.items():
                cluster.objects.erase(path, name)
                meta = {key: obj["metadata"][key] for key in ("name", "labels", "annotations", "finalizers")}
                cluster.objects.call("POST", path, {**obj, "metadata": meta})
        cluster.controller("c2")

        await until(lambda: cluster.objects.all(VOLUMES)["pvc-1"]["status"]["fsuuid"] == new, "it is found there")
        await until(lambda: cluster.wrong() == [], "the objects agree with each other")
        obj = cluster.objects.all(VOLUMES)["pvc-1"]
        assert crd.volume_from_object(obj)[0].origins == (old,)
        assert obj["metadata"]["labels"]["directpv.min.io/drive"] == new
        drives = cluster.objects.all(DRIVES)
        assert drives[old]["metadata"]["finalizers"] == ["directpv.min.io/data-protection"]
        assert "directpv.min.io.volume/pvc-1" in drives[new]["metadata"]["finalizers"]
        assert list(node.volumes()) == ["pvc-1"]
