"""Creates and deletes while leaders and the API server are killed: what was acknowledged holds."""

import asyncio
import random

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.errors import DirectPVError
from integration.controller.harness import Controller, until
from integration.controller.node import GIB, PlayedNode
from integration.kubernetes_registry.harness import DRIVES, Cluster, create, volumes

pytestmark = pytest.mark.timeout(300)

OPERATIONS, WORKERS, DRIVES_EACH = 200, 8, 2
SIZE = GIB // 4
CALL_SECONDS = 8.0
LEASE = 3.0


class Storm:
    """What clients were told."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.created: set[str] = set()
        self.deleted: set[str] = set()
        self.unknown: set[str] = set()
        self.begun = 0

    async def client(self, work: "asyncio.Queue[str]") -> None:
        while not work.empty():
            name = work.get_nowait()
            self.begun += 1
            if await self.tried(create(self.bus, name, SIZE, within=CALL_SECONDS), name):
                self.created.add(name)
                if int(name[-3:]) % 3 == 0:
                    gone = self.bus.call(Api.VOLUME_DELETE, m.VolumeId(name=name), within=CALL_SECONDS)
                    if await self.tried(gone, name):
                        self.deleted.add(name)

    async def tried(self, call: object, name: str) -> bool:
        """Tell whether a call was acknowledged."""
        try:
            await call  # type: ignore[misc]
        except DirectPVError:
            self.unknown.add(name)
            await asyncio.sleep(0.1)
            return False
        return True


async def faults(cluster: Cluster, storm: Storm, chance: random.Random) -> None:
    """Kill a controller or the API server whenever another part of the work has begun."""
    running: dict[str, Controller] = {f"c{n}": cluster.controller(f"c{n}", lease_seconds=LEASE) for n in (1, 2)}
    number = 2
    for at in range(30, OPERATIONS, 40):
        await until(lambda at=at: storm.begun >= at, "the storm goes on", 60)  # type: ignore[misc]
        if chance.random() < 0.3:
            cluster.server.process.kill()
            await asyncio.to_thread(cluster.server.start_server)
        else:
            victim = chance.choice(sorted(running))
            running.pop(victim).kill()
            number += 1
            running[f"c{number}"] = cluster.controller(f"c{number}", lease_seconds=LEASE)


@pytest.mark.parametrize("seed", [20261123])
async def test_a_storm_loses_nothing_that_was_acknowledged(cluster: Cluster, bus: Bus, seed: int) -> None:
    chance = random.Random(seed)
    nodes = [PlayedNode("n1"), PlayedNode("n2")]
    for node in nodes:
        for _ in range(DRIVES_EACH):
            node.add_drive()
    storm, work = Storm(bus), asyncio.Queue[str]()
    for number in range(OPERATIONS):
        work.put_nowait(f"pvc-{number:03d}")
    async with nodes[0].running(bus), nodes[1].running(bus), asyncio.TaskGroup() as tasks:
        tasks.create_task(faults(cluster, storm, chance))
        await until(lambda: len(cluster.objects.all(DRIVES)) == 2 * DRIVES_EACH, "the drives are registered", 60)
        async with asyncio.TaskGroup() as clients:
            for _ in range(WORKERS):
                clients.create_task(storm.client(work))
        certain = storm.created - storm.unknown - storm.deleted
        print(f"{len(storm.created)} created, {len(storm.deleted)} deleted, {len(storm.unknown)} unknown")
        shown = set(await volumes(bus))
        assert certain <= shown
        assert not storm.deleted & shown

        for name in sorted(storm.unknown - storm.deleted):  # every call can be repeated until it is acknowledged
            if name in storm.created:
                await bus.call(Api.VOLUME_DELETE, m.VolumeId(name=name), within=30)
                storm.deleted.add(name)
            else:
                await create(bus, name, SIZE, within=30)
                storm.created.add(name)
        expected = storm.created - storm.deleted
        assert set(await volumes(bus)) == expected
        on_drives = lambda: {name for node in nodes for name in node.volumes()}  # noqa: E731
        await until(lambda: on_drives() == expected, "drives and registry agree", 60)
        await until(lambda: cluster.wrong() == [], "the objects agree with each other")
