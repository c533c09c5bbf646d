"""Power failures of a node whose volumes are in use: they are served again without anybody outside of the node.

As in a cluster, the node has a NATS server of its own, a leaf of the central one; agent and gateway know no other.
"""

import contextlib
import re
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.messages import DriveStatus
from support.guest import network
from support.guest.disks import Disk
from support.guest.kubelet import Kubelet
from support.guest.lab import Lab, Tap
from support.guest.node import ROOT, Node
from support.guest.uml import Uml
from support.nats import NatsServer, nats_server
from support.node_client import MIB, eventually

pytestmark = pytest.mark.timeout(240)

OWN_PORT = 4222
OWN_URL = f"nats://127.0.0.1:{OWN_PORT}"
SIZE = 20 * MIB
SCAN_SECONDS = 600
"""No scan helps: what is noticed, is noticed by events."""


@pytest.fixture
def nats(directory: Path) -> Iterator[NatsServer]:
    """The central server, which takes in the nodes' own."""
    with nats_server(directory / "jetstream", host=network.HOST, leafs=True) as server:
        yield server


async def start_own_nats(machine: Uml, central: NatsServer) -> None:
    """Start the node's own server."""
    program = Path(sys.executable).with_name("nats-server")
    settings = f"""
        listen: "0.0.0.0:{OWN_PORT}"
        leafnodes {{ reconnect: 1, remotes: [ {{ url: "{central.leaf_url}" }} ] }}
        """
    await machine.hand.write("/run/nats.conf", settings.encode())
    await machine.hand.start("nats", str(program), "-c", "/run/nats.conf")


@contextlib.asynccontextmanager
async def cut_off(node: Node) -> AsyncIterator[None]:
    """While the block runs, ask the agent through the node's own server: there is no other."""
    before = node.bus
    async with connect_bus(f"nats://{node.hand.address}:{OWN_PORT}", name="test", prefix="directpv.v1") as node.bus:
        yield
    node.bus = before


@dataclass
class Scene:
    """A node with two drives, and a volume on each that is in use and has data on the disk."""

    lab: Lab
    node: Node
    disks: list[Disk]
    drives: list[str]
    volumes: list[Kubelet]

    @property
    def machine(self) -> Uml:
        return self.disks[0].machine

    async def check_served(self, index: int) -> None:
        """Kubelet mounts a volume anew: data and limit are what they were."""
        used = self.volumes[index]
        await used.start()
        assert await self.node.hand.run("cat", f"{used.target}/before") == f"kept by {used.name}"
        assert (await used.space())[0] == SIZE
        assert SIZE - 64 * 1024 <= await used.fill("after") + 4096 <= SIZE


@pytest.fixture
async def scene(lab: Lab) -> Scene:
    machine = await lab.boot(disks=2)
    disks = [Disk(machine, 0), Disk(machine, 1)]
    for disk in disks:
        await disk.attach()
    await start_own_nats(machine, lab.nats)
    node = Node(machine, lab.bus, OWN_URL, settings={"scan-interval": SCAN_SECONDS})
    lab.nodes.append(node)
    await node.start_agent()
    await node.start_gateway()
    results = await node.client.format(*(disk.name for disk in disks))
    drives = [result.drive.fsuuid for result in results if result.drive]
    volumes = [Kubelet(node, await node.client.make_volume(drive, f"pvc-{i}")) for i, drive in enumerate(drives)]
    for used in volumes:
        await used.start()
        script = f"printf 'kept by {used.name}' | dd of={used.target}/before conv=fsync status=none"
        await node.hand.sh(script)
    return Scene(lab, node, disks, drives, volumes)


async def mounted(node: Node, words: str) -> list[str]:
    """Return the mount points that contain ``words``."""
    table = (await node.hand.read("/proc/self/mountinfo")).decode()
    return [point for point in re.findall(r"^\S+ \S+ \S+ \S+ (\S+)", table, re.MULTILINE) if words in point]


async def test_volumes_are_served_again_after_a_power_failure_while_everything_outside_of_the_node_is_down(
    scene: Scene,
) -> None:
    node, lab = scene.node, scene.lab

    lab.nats.kill()
    await lab.reboot(scene.machine)
    for disk in scene.disks:
        await disk.attach()
    await start_own_nats(scene.machine, lab.nats)
    async with cut_off(node):
        await node.start_agent()
        await node.start_gateway()

        for index in range(2):
            await scene.check_served(index)
        assert await scene.volumes[0].expand(2 * SIZE) == 2 * SIZE
        assert (await scene.volumes[0].space())[0] == 2 * SIZE
        for used in scene.volumes:
            await used.stop()

    assert await mounted(node, "/var/lib/kubelet/") == []
    assert sorted(await mounted(node, f"{ROOT}/mnt/")) == sorted(f"{ROOT}/mnt/{drive}" for drive in scene.drives)


async def test_an_agent_that_starts_before_the_disks_are_there_takes_them_in_one_by_one(scene: Scene, tap: Tap) -> None:
    node, lab = scene.node, scene.lab
    await lab.reboot(scene.machine)
    await start_own_nats(scene.machine, lab.nats)
    await node.start_agent()
    await node.start_gateway()
    assert (await node.client.inventory()).drives == ()
    with pytest.raises(GRPCError) as refused:
        await scene.volumes[0].start()
    assert refused.value.status in (Status.NOT_FOUND, Status.UNAVAILABLE)
    assert "pvc-0" in str(refused.value.message)

    for index in (1, 0):
        await scene.disks[index].attach()

        await node.client.drive_when(
            scene.drives[index], lambda d: d.record.status is DriveStatus.READY, "it is taken in"
        )
        await scene.check_served(index)

    async def both() -> bool:
        return len((await node.client.inventory()).drives) == 2

    await eventually(both, "both drives are there")
    assert tap.of("drive.conflict") == []
