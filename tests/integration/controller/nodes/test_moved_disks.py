"""A disk that was moved to another node becomes that node's by command, with its volumes, and never by itself."""

import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition, NotFound
from integration.controller.harness import Controller, read_registry, until, violations
from integration.nodeagent.harness import MIB, AgentProcess, Loops, mounts_below, scratch
from support.nats import NatsServer
from support.node_client import Client, eventually

pytestmark = pytest.mark.timeout(240)
WORDS = b"the only copy"


class World:
    """Two nodes with real agents, and a controller with a registry file."""

    def __init__(self, base: Path, nats: NatsServer, bus: Bus, start: Callable[..., Controller]) -> None:
        self.base, self.bus, self.start = base, bus, start
        self.registry = base / "registry.db"
        self.loops = Loops(base)
        self.agents = {name: AgentProcess(base, nats.port, name) for name in ("n1", "n2")}
        self.fsuuid = ""
        self.disk = Path()

    def client(self, node: str) -> Client:
        return Client(self.bus, node)

    async def run(self, node: str, *devices: str) -> None:
        self.agents[node].start(*devices)
        await self.agents[node].answers(self.client(node))

    async def prepare(self) -> None:
        """Have a drive of n1 with a volume that has data; then take its disk out of n1, which lives on."""
        device = self.loops.make()
        await self.run("n1", device)
        self.controller = self.start(registry=self.registry, online_seconds=3)
        found = (await self.client("n1").ask(Node.DEVICE_LIST, m.Empty())).devices
        chosen = m.FormatDevice(id=found[0].id, name=device)
        reply = await self.bus.call(Api.DRIVE_INIT, m.InitDevices(node="n1", devices=(chosen,)), within=60)
        self.fsuuid = reply.results[0].drive.fsuuid
        claim = {names.PVC_NAME: "data-0", names.PVC_NAMESPACE: "shop"}
        await self.bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=8 * MIB, parameters=claim), within=30)
        await self.client("n1").drive_when(self.fsuuid, lambda held: bool(held.volumes), "the drive has the volume")
        staging = self.base / "staging"
        await self.client("n1").stage("v1", staging)
        (staging / "data").write_bytes(WORDS)
        await self.client("n1").unstage("v1", staging)
        self.agents["n1"].close()
        self.disk = self.loops.detach(device)
        await self.run("n1")

    async def is_lost(self) -> None:
        async def lost() -> bool:
            return (await self.drive()).record.status is m.DriveStatus.LOST

        await eventually(lost, "the registry knows that the disk is gone")

    async def put_into(self, node: str) -> str:
        device = self.loops.attach(self.disk)
        await self.run(node, device)
        return device

    async def drive(self) -> m.DriveInfo:
        page = await self.bus.call(Api.DRIVE_LIST, m.ListDrives(ids=(self.fsuuid,)), within=20)
        if not page.drives:
            raise NotFound(self.fsuuid)
        return page.drives[0]

    async def seen(self, node: str, **asked: Any) -> dict[str, m.SeenDrive]:
        reply = await self.client(node).ask(Node.DRIVE_SEEN, m.ListSeenDrives(**asked))
        return {drive.fsuuid: drive for drive in reply.drives}

    async def move(self, within: float = 60, **asked: Any) -> m.DriveRecord:
        request = m.MoveDrive(**{"fsuuid": self.fsuuid, "node": "n2", "from_node": "n1", **asked})
        return await self.bus.call(Api.DRIVE_MOVE_NODE, request, within=within)

    async def has_arrived(self, node: str = "n2") -> None:
        async def arrived() -> bool:
            record = (await self.drive()).record
            return (record.node, record.status) == (node, m.DriveStatus.READY)

        await eventually(arrived, f"the drive is {node}'s, and ready")
        info = await self.bus.call(Api.VOLUME_GET, m.VolumeId(name="v1"), within=20)
        assert (info.node, info.topology[names.NODE], info.abnormal) == (node, node, False)
        staging = self.base / f"again-{node}"
        await self.client(node).stage("v1", staging)
        assert (staging / "data").read_bytes() == WORDS
        await self.client(node).unstage("v1", staging)
        assert violations(self.registry) == []

    def close(self) -> None:
        for agent in self.agents.values():
            agent.close()
        self.loops.close()


@pytest.fixture
def base() -> Iterator[Path]:
    with scratch() as path:
        yield path


@pytest.fixture
async def world(base: Path, nats: NatsServer, bus: Bus, controllers: Callable[..., Controller]) -> AsyncIterator[World]:
    with contextlib.closing(World(base, nats, bus, controllers)) as world:
        await world.prepare()
        yield world


async def test_a_disk_in_another_node_is_left_alone_and_shown_until_somebody_says_that_it_was_moved(
    world: World,
) -> None:
    await world.put_into("n2")
    before = world.disk.stat().st_mtime_ns
    seen = (await world.seen("n2"))[world.fsuuid]
    assert (seen.node, seen.count, seen.volumes, seen.problem) == ("n1", 1, (), "")
    (volume,) = (await world.seen("n2", fsuuid=world.fsuuid))[world.fsuuid].volumes
    assert (volume.name, volume.pvc_namespace, volume.pvc_name) == ("v1", "shop", "data-0")
    assert world.disk.stat().st_mtime_ns == before, "looking writes nothing"
    assert mounts_below(world.agents["n2"].root / "mnt") == []
    await world.is_lost()
    assert (await world.drive()).record.node == "n1"

    assert (await world.move()).node == "n2"
    await world.has_arrived()
    assert (await world.seen("n2"))[world.fsuuid].node == "n2"
    assert (await world.move()).node == "n2", "repeating changes nothing"
    await world.has_arrived()


async def test_of_a_node_that_is_not_heard_only_a_person_knows_that_the_disk_is_not_there_any_more(
    world: World,
) -> None:
    world.agents["n1"].close()
    await world.put_into("n2")

    async def refused() -> bool:
        try:
            await world.move()
        except FailedPrecondition as error:
            return "n1 is not heard" in error.message and "--dangerous" in error.message
        return False

    await eventually(refused, "the controller knows that the node is away")
    assert (await world.seen("n2"))[world.fsuuid].node == "n1"
    assert read_registry(world.registry).drives[0].node == "n1"
    await world.move(dangerous=True)
    await world.has_arrived()


async def test_a_copy_of_a_drive_that_its_node_still_has_is_refused_whatever_is_said(world: World) -> None:
    copy = world.base / "copy.img"
    copy.write_bytes(world.disk.read_bytes())
    world.agents["n1"].close()
    await world.put_into("n1")

    async def ready() -> bool:
        return (await world.drive()).record.status is m.DriveStatus.READY

    await eventually(ready, "n1 has it again")
    await world.run("n2", world.loops.attach(copy))
    for dangerous in (False, True):
        with pytest.raises(FailedPrecondition, match="n1 is online and has drive"):
            await world.move(dangerous=dangerous)
    assert mounts_below(world.agents["n2"].root / "mnt") == []
    await world.has_arrived("n1")


async def test_what_the_drive_says_decides_and_a_node_without_the_disk_says_so(world: World) -> None:
    await world.is_lost()
    await world.run("n2")
    with pytest.raises(NotFound, match="no device carries"):
        await world.move()
    with pytest.raises(NotFound, match="n3 is unknown"):
        await world.move(node="n3")
    world.agents["n2"].close()
    await world.put_into("n2")
    with pytest.raises(FailedPrecondition, match="says that it is node n1's, not n9's"):
        await world.move(from_node="n9")
    assert (await world.seen("n2"))[world.fsuuid].node == "n1"


async def test_whoever_is_killed_on_the_way_a_repeat_ends_it(world: World) -> None:
    device = await world.put_into("n2")
    await world.is_lost()
    agent = world.agents["n2"]
    assert agent.process is not None
    agent.process.send_signal(signal.SIGSTOP)
    with pytest.raises(DirectPVError):
        await world.move(within=2)
    await until(lambda: read_registry(world.registry).drives[0].node == "n2", "the registry has followed")
    agent.kill()
    await world.run("n2", device)
    assert (await world.seen("n2"))[world.fsuuid].node == "n1", "the drive has not"

    await world.move()
    agent.kill()
    await world.run("n2", device)
    await world.move()
    await world.has_arrived()


async def test_a_drive_of_a_cluster_that_is_gone_is_registered_with_its_volumes(world: World) -> None:
    await world.put_into("n2")
    world.controller.kill()
    world.registry = world.base / "another.db"
    world.start("c2", registry=world.registry, online_seconds=3)

    async def registered() -> bool:
        await world.move(from_node="n1")
        return True

    await eventually(registered, "the new controller leads")

    async def known() -> bool:
        return bool((await world.drive()).volumes)

    await eventually(known, "the drive is registered")
    await world.has_arrived()
