"""A node agent with many drives and volumes: take-over after a restart, memory, idle processor time, reads of disks."""

import asyncio
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import programs
from bench.figures import NODE_FULL, NODE_PEAK, NODE_START, Figure, Figures, percent
from bench.measure import mib, ms, show
from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.api import Node
from directpv_common.protocol.messages import GetInventory, HeldDrive, VolumeRecord
from integration.nodeagent.harness import AgentProcess, Loops, run, unmount_below
from support.node_client import MIB, Client, eventually

FULL, LARGE = (24, 80), (60, 50)
SHAPES: Final = ((1, 0), FULL, LARGE)
"""Drives, and volumes on each, all of them staged and published."""
IDLE_SECONDS: Final = 60.0
"""Two scans, four samples, twelve heartbeats."""
QUIET: Final = ("--scan-interval=30", "--metrics-interval=15", "--heartbeat-interval=5")
AT_ONCE: Final = 16
SCANS: Final = 10
SCANNED: Final = "directpv_node_rescans_total "


@dataclass(frozen=True)
class Restart:
    """What a restart of an agent gave."""

    answered: float
    """Seconds until it answered."""
    taken: float
    """Seconds until all drives were read, and all mounts known."""
    peak: int
    resident: int
    idle: float
    """Part of a core, when left alone."""


async def bench(work: Path, url: str) -> Figures:
    """Print a table of agents, and one of what a scan reads."""
    rows, figures = [], []
    for drives, volumes in SHAPES:
        found = await restarted(work / str(drives), url, drives, volumes, IDLE_SECONDS)
        rows.append(
            [
                str(drives), f"{drives * volumes:,}", ms(found.answered), ms(found.taken),
                mib(found.peak), mib(found.resident), percent(found.idle),
            ]
        )  # fmt: skip
        figures += _figures(found, drives)
    columns = ["drives", "volumes", "restart to first answer", "all taken over", "peak", "resident", "idle"]
    show("A node agent: restarted with all volumes mounted twice, then left alone", columns, rows)
    show("What a scan reads of a device that nothing changes", ["", "reads per scan"], await _scan_reads(work, url))
    return figures


async def compare(work: Path, url: str) -> Figures:
    """The restarts alone."""
    figures = []
    for drives, volumes in SHAPES[1:]:
        figures += _figures(await restarted(work / str(drives), url, drives, volumes, 0), drives)
    return figures


def _figures(found: Restart, drives: int) -> Figures:
    if drives == LARGE[0]:
        return [Figure(NODE_START, found.taken), Figure(NODE_PEAK, found.peak)]
    return [Figure(NODE_FULL, found.resident)] if drives == FULL[0] else []


async def restarted(work: Path, url: str, drives: int, volumes: int, rest: float) -> Restart:
    """Restart an agent whose volumes are all mounted, and leave it alone for ``rest`` seconds."""
    with _machine(work, url, drives) as (agent, devices):
        async with _client(url) as client:
            await _fill(agent, client, devices, volumes, work / "kubelet")
            agent.kill()
            begun = time.perf_counter()
            agent.start(*devices)
            await agent.answers(client)
            answered = time.perf_counter() - begun
            await eventually(lambda: _all_seen(client, drives, volumes), "all drives and mounts are known again")
            taken = time.perf_counter() - begun
            assert agent.process is not None
            pid = agent.process.pid
            peak, before = _peak(pid), programs.cpu_seconds(pid)
            await asyncio.sleep(rest)
            idle = (programs.cpu_seconds(pid) - before) / (rest or 1)
            return Restart(answered, taken, peak, programs.resident(pid), idle)


@contextmanager
def _machine(work: Path, url: str, drives: int) -> Iterator[tuple[AgentProcess, list[str]]]:
    """Have an agent with blank devices."""
    work.mkdir()
    loops, agent = Loops(work), AgentProcess(work, int(url.rpartition(":")[2]))
    agent.extra = QUIET
    try:
        devices = [loops.make(600) for _ in range(drives)]
        agent.start(*devices)
        yield agent, devices
    finally:
        unmount_below(work / "kubelet")
        agent.close()
        loops.close()


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[Client]:
    async with connect_bus(url, name="bench", prefix="directpv.v1") as bus:
        yield Client(bus, "n1")


async def _fill(agent: AgentProcess, client: Client, devices: list[str], volumes: int, pods: Path) -> None:
    """Make all devices drives, with volumes, and stage and publish each as kubelet does."""
    await agent.answers(client)
    names: list[str] = []
    for first in range(0, len(devices), 8):
        for result in await client.format(*devices[first : first + 8]):
            assert result.drive is not None, result.error
            made = [_record(result.drive.fsuuid, len(names) + number) for number in range(volumes)]
            assert await client.prepare(*made) == {}
            names += [record.name for record in made]
    gate = asyncio.Semaphore(AT_ONCE)

    async def use(name: str) -> None:
        staging, target = pods / name / "globalmount", pods / name / "volumes/kubernetes.io~csi" / name / "mount"
        target.parent.mkdir(parents=True)
        async with gate:
            await client.stage(name, staging)
            await client.publish(name, staging, target, pod_name=f"pod-{name}", pod_namespace="default", pod_uid=name)

    await asyncio.gather(*map(use, names))


def _record(fsuuid: str, number: int) -> VolumeRecord:
    return VolumeRecord(name=f"pvc-{number:08d}-3e5f-6789-abcd-ef0123456789", fsuuid=fsuuid, capacity=4 * MIB)


async def _all_seen(client: Client, drives: int, volumes: int) -> bool:
    """Tell whether every drive is read, and every volume known to be staged and published."""
    found: list[HeldDrive] = []
    wanted: tuple[str, ...] = ()
    after = ""
    while True:
        part = await client.ask(Node.INVENTORY_GET, GetInventory(drives=wanted, after=after, paged=True))
        found += part.drives
        cut = next((drive for drive in part.drives if drive.more), None)
        wanted, after = ((cut.record.fsuuid, *part.left), cut.more) if cut is not None else (part.left, "")
        if not wanted:
            break
    uses = [volume.use for drive in found for volume in drive.volumes]
    known = sum(bool(use.staged and use.published) for use in uses)
    return len({drive.record.fsuuid for drive in found if drive.readable}) == drives and known == drives * volumes


def _peak(pid: int) -> int:
    """Bytes of memory that a process occupied at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


async def _scan_reads(work: Path, url: str) -> list[list[str]]:
    """Count the reads of a mounted drive, of a disk with a file system of others, and of a blank one."""
    with _machine(work / "scans", url, 3) as (agent, devices):
        async with _client(url) as client:
            await agent.answers(client)
            await client.make_drive(devices[0])
            run("mkfs.ext4", "-q", f"/dev/{devices[1]}")
            agent.kill()
            agent.extra = ("--scan-interval=0.3", "--metrics-interval=15")
            agent.start(*devices)
            await agent.answers(client)
            await _scans(agent, 2 * SCANS)  # udev, too, looks at what was written
            before, scans = [_reads(device) for device in devices], await _scans(agent, SCANS)
            counts = [(_reads(device) - was) / scans for device, was in zip(devices, before, strict=True)]
    whats = ("drive, mounted", "file system of others, not mounted", "blank")
    return [[what, f"{count:.1f}"] for what, count in zip(whats, counts, strict=True)]


async def _scans(agent: AgentProcess, count: int) -> int:
    """Wait for ``count`` scans; return how many there were."""
    first = await _scanned(agent)
    while (done := await _scanned(agent) - first) < count:
        await asyncio.sleep(0.05)
    return done


async def _scanned(agent: AgentProcess) -> int:
    address = f"http://127.0.0.1:{agent.metrics_port}/metrics"
    text = (await asyncio.to_thread(lambda: urllib.request.urlopen(address, timeout=10).read())).decode()
    return int(float(next(line.split()[1] for line in text.splitlines() if line.startswith(SCANNED))))


def _reads(device: str) -> int:
    """Requests to read that a device has done. Source: Documentation/block/stat of Linux."""
    return int(Path(f"/sys/class/block/{device}/stat").read_text().split()[0])
