"""Fixtures: each test has its own directory, devices, nats-server and agent, all gone afterwards."""

import contextlib
import random
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.probe import Prober
from directpv_nodeagent.devices.sysfs import Roots
from directpv_nodeagent.drives.taken.inspection import Host
from directpv_nodeagent.drives.taken.takeover import lay_out, take_over
from directpv_nodeagent.layout.core.view import DriveView
from integration.nodeagent.blocks import LEAVE, LOOP_CTL_ADD, SIZE, Loop, loop_control, sh
from integration.nodeagent.crashing import FSUUID
from integration.nodeagent.harness import AgentProcess, Loops, run, scratch, wait_until
from support.mounts import own_mounts  # noqa: F401 - a fixture
from support.nats import nats_server
from support.node_client import Client
from support.ports import free_port


@pytest.fixture
def base() -> Iterator[Path]:
    with scratch() as path:
        yield path


@pytest.fixture
def loops(base: Path) -> Iterator[Loops]:
    loops = Loops(base)
    try:
        yield loops
    finally:
        loops.close()


@pytest.fixture
def port(base: Path) -> Iterator[int]:
    port = free_port()
    with nats_server(base / "jetstream", port):
        yield port


@pytest.fixture
async def bus(port: int) -> AsyncIterator[Bus]:
    async with connect_bus(f"nats://127.0.0.1:{port}", name="test", prefix="directpv.v1") as bus:
        yield bus


@pytest.fixture
def agent(base: Path, loops: Loops, port: int) -> Iterator[AgentProcess]:
    """An agent that is not started yet; its mounts go before the devices do."""
    agent = AgentProcess(base, port)
    try:
        yield agent
    finally:
        agent.close()


@pytest.fixture
async def client(bus: Bus) -> Client:
    return Client(bus, "n1")


@pytest.fixture
async def device(loops: Loops, agent: AgentProcess, client: Client) -> str:
    """A blank device, under a running agent."""
    name = loops.make()
    agent.start(name)
    await agent.answers(client)
    return name


@pytest.fixture
async def drive(device: str, client: Client) -> str:
    """A formatted drive's FSUUID."""
    return await client.make_drive(device)


@pytest.fixture
def pods(base: Path) -> Path:
    """Where staging and target paths are."""
    path = base / "kubelet"
    path.mkdir()
    return path


# ---- devices alone, without an agent -------------------------------------------------------------------------------


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Callable[..., Loop]]:
    """Make loop devices; detached at the end, whatever happened."""
    with contextlib.ExitStack() as stack:

        def make(size: int = SIZE, *options: str) -> Loop:
            file = tmp_path / f"disk-{uuid.uuid4().hex[:8]}.img"
            with open(file, "wb") as image:
                image.truncate(size)
            device = Loop(file, random.randrange(1_000, 1_000_000))
            loop_control(LOOP_CTL_ADD, device.minor)
            stack.callback(device.remove)
            device.attach(*options)
            return device

        yield make


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount devices; unmounted at the end, before they are detached."""
    with contextlib.ExitStack() as stack:

        def mount(device: str, *options: str) -> Path:
            target = tmp_path / f"mnt-{uuid.uuid4().hex[:8]}"
            target.mkdir()
            sh("mount", *options, device, str(target))
            stack.callback(subprocess.run, ["umount", str(target)], capture_output=True, timeout=60)
            return target

        yield mount


@pytest.fixture
def bare(tmp_path: Path) -> Roots:
    """A system without udev database."""
    return Roots(udev=tmp_path / "no-udev")


@pytest.fixture
def look(bare: Roots) -> Callable[[Loop], DeviceFacts]:
    """Probe one device, without udev."""

    def probe(device: Loop) -> DeviceFacts:
        facts = Prober((device.name,), roots=bare).probe_one(device.name)
        assert facts is not None
        return facts

    return probe


@pytest.fixture(params=sorted(LEAVE.keys() - {"mirror"}))
def left(request: pytest.FixtureRequest) -> tuple[str, Callable[[Loop], object]]:
    """Each kind of signature, and what puts it on a device."""
    return request.param, LEAVE[request.param]


@pytest.fixture
def leave() -> Callable[[str, Loop], object]:
    """Put a signature of a kind on a device."""
    return lambda kind, device: LEAVE[kind](device)


@pytest.fixture
def host(base: Path) -> Host:
    root = base / "root"
    for name in ("mnt", "probe"):
        (root / name).mkdir(parents=True)
    return Host("n1", str(root), {}, quota_required=False)


@pytest.fixture
def facts(loops: Loops) -> DeviceFacts:
    name = loops.make()
    run("mkfs.xfs", "-q", "-m", f"uuid={FSUUID}", "-L", "DIRECTPV", f"/dev/{name}")
    found: list[DeviceFacts] = []

    def is_read() -> bool:  # udev looks into the device at the same time
        seen = Prober(patterns=(name,)).probe_one(name)
        found[:] = [seen] if seen is not None and seen.superblock is not None and not seen.pending else []
        return bool(found)

    wait_until(is_read, "the file system that was just made is seen")
    return found[0]


@pytest.fixture
def view(host: Host, facts: DeviceFacts) -> DriveView:
    lay_out(host, FSUUID, facts)
    return take_over(host, FSUUID, facts).view
