"""A storm of creates and deletes while services are killed: what was acknowledged holds, the rest can be repeated."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from directpv_cli.local.csi_client import CsiClient, connect, creation
from directpv_common.protocol.units import MIB
from directpv_csi_gateway.pb import csi_pb2 as csi
from support.cluster import CALL_FAILED, Cluster, cluster, eventually, settled

OPERATIONS = 500
WORKERS = 16
SIZE = MIB
VICTIMS = ("controller-1", "nats", "nodeagent-node-1", "gateway-node-1")
CALL_SECONDS = 8.0
BACK_OFF_SECONDS = 0.1
KILLS = 10

pytestmark = pytest.mark.timeout(300)


@dataclass
class Outcome:
    """What clients were told."""

    created: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    unknown_creates: set[str] = field(default_factory=set)
    unknown_deletes: set[str] = field(default_factory=set)

    @property
    def existing(self) -> set[str]:
        """Volumes that must exist: acknowledged, and no delete was even tried."""
        return self.created - self.deleted - self.unknown_deletes


async def call(request: object, verb: str, socket: str) -> bool:
    """Make one call as a client that gives up after a while; tell whether it was acknowledged."""
    try:
        async with asyncio.timeout(CALL_SECONDS), connect(socket) as client:
            await getattr(client.controller, verb)(request)
    except CALL_FAILED:
        await asyncio.sleep(BACK_OFF_SECONDS)
        return False
    return True


async def storm(running: Cluster, chance: random.Random) -> Outcome:
    """Create volumes and delete every third; at random ones of them, a victim is killed, and started again."""
    outcome, names = Outcome(), [f"pvc-{number:04d}" for number in range(OPERATIONS)]
    work: asyncio.Queue[str] = asyncio.Queue()
    for name in names:
        work.put_nowait(name)
    kills = sorted(chance.sample(range(OPERATIONS), KILLS))

    async def client(index: int) -> None:
        socket = running.stack.nodes[index % len(running.stack.nodes)].csi_socket
        while not work.empty():
            name = work.get_nowait()
            acknowledged = await call(creation(name, SIZE), "CreateVolume", socket)
            (outcome.created if acknowledged else outcome.unknown_creates).add(name)
            if acknowledged and int(name[-4:]) % 3 == 0:
                gone = await call(csi.DeleteVolumeRequest(volume_id=name), "DeleteVolume", socket)
                (outcome.deleted if gone else outcome.unknown_deletes).add(name)

    async def killer() -> None:
        for begun in kills:
            while OPERATIONS - work.qsize() < begun:
                await asyncio.sleep(0.001)
            victim = chance.choice(VICTIMS)
            running.kill(victim)
            await asyncio.sleep(chance.uniform(0, 0.3))
            running.start(victim)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(killer())
        for index in range(WORKERS):
            tasks.create_task(client(index))
    return outcome


async def repeat_until_done(running: Cluster, outcome: Outcome) -> None:
    """Repeat what was not acknowledged, as the sidecars would."""

    async def create(name: str) -> None:
        async with running.csi() as client:
            await client.controller.CreateVolume(creation(name, SIZE))
        outcome.created.add(name)

    async def delete(name: str) -> None:
        async with running.csi() as client:
            await client.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=name))
        outcome.deleted.add(name)

    for name in sorted(outcome.unknown_creates):
        await eventually(lambda name=name: create(name), f"repeat of CreateVolume {name}")
    for name in sorted(outcome.unknown_deletes):
        await eventually(lambda name=name: delete(name), f"repeat of DeleteVolume {name}")
    outcome.unknown_deletes.clear()


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
async def test_kill_9_at_random_points_of_a_storm_loses_nothing_that_was_acknowledged(seed):
    chance = random.Random(seed)
    with cluster(nodes=2, drives=2) as running:
        await running.initialise()
        outcome = await storm(running, chance)
        before = f"{len(outcome.created)} created, {len(outcome.deleted)} deleted, " + (
            f"{len(outcome.unknown_creates)} creates and {len(outcome.unknown_deletes)} deletes unknown"
        )
        print(f"seed {seed}: {before}")
        async with running.bus() as bus:
            _, volumes = await settled(running, bus)
            assert outcome.existing <= {volume.record.name for volume in volumes}
            assert not outcome.deleted & {volume.record.name for volume in volumes}

            await repeat_until_done(running, outcome)
            _, volumes = await settled(running, bus)
            assert {volume.record.name for volume in volumes} == outcome.created - outcome.deleted


async def test_a_leader_that_was_frozen_past_its_lease_allocates_nothing_twice():
    with cluster(nodes=1, drives=2, controllers=2, lease=1.0) as running:
        await running.initialise()
        async with running.csi() as client:
            first = await created(client, "pvc-before")
            leader = await leader_of(running)
            running.freeze(leader)
            # The other one takes over; both then believe for a moment that they lead.
            await eventually(lambda: created(client, "pvc-while-frozen"), "the standby takes over")
            calls = [asyncio.create_task(created(client, f"pvc-{n}")) for n in range(60)]
            running.thaw(leader)
            answers = await asyncio.gather(*calls)
        assert len({answer.volume_id for answer in answers}) == 60
        assert first.volume_id == "pvc-before"
        async with running.bus() as bus:
            _, volumes = await settled(running, bus)
            assert len(volumes) == 62


async def created(client: CsiClient, name: str) -> csi.Volume:
    async with asyncio.timeout(30):
        return (await client.controller.CreateVolume(creation(name, SIZE))).volume


async def leader_of(running: Cluster) -> str:
    """Return the name of the controller that serves the controller API, by what its service tells of itself."""
    import json

    async with running.bus() as bus:
        reply = await bus.client.request("$SRV.INFO.directpv-controller", b"", timeout=10)
    pid = json.loads(reply.data)["metadata"]["pid"]
    return next(process.name for process in running.stack.running if process.pid == int(pid))
