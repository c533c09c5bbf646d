"""Alerts of an installation: each fires on a real stack before a real Prometheus, and is over with its cause."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from directpv_cli.local.csi_client import creation
from directpv_cli.local.machine import disks
from directpv_cli.release.monitoring.alerts import ALERTS
from directpv_common.protocol.names import DRIVE
from directpv_common.protocol.units import MIB
from directpv_csi_gateway.pb import csi_pb2 as csi
from integration.monitoring import test_firing, test_rules
from stack.running import drives, plugin
from stack.test_contested import copy_beside
from stack.test_health import a_pod
from support.cluster import Cluster, Pod, eventually
from support.prometheus import scrape
from support.pulling import agent
from support.watching import Prometheus, prometheus

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
WITHIN = 120.0
SPARE = MIB
"""Bytes that are left of what is filled."""
NAME = re.compile(r"\b(directpv_[a-z_]+)\b")
OF_DISKS = {"directpv_drive_temperature_celsius", "directpv_drive_wear_ratio", "directpv_drive_media_errors_total"}
"""What loop devices have no disk for; their name and meaning are compared in tests/integration/monitoring."""
IN_CLUSTERS = {"directpv_controller_bus_admissions_total", "directpv_controller_bus_cuts_total"}
"""What a stack on one machine does not have: its keys are in its server's configuration."""


@asynccontextmanager
async def away(running: Cluster, name: str) -> AsyncIterator[None]:
    """Have a program killed while the block runs."""
    await asyncio.to_thread(running.kill, name)
    try:
        yield
    finally:
        await asyncio.to_thread(running.start, name)


@asynccontextmanager
async def full_volume(pod: Pod) -> AsyncIterator[None]:
    """Have nearly all of a volume of 16 MiB used."""
    file = Path(pod.target, "fill")
    with file.open("wb") as written:
        written.write(os.urandom(15 * MIB))
        os.fsync(written.fileno())
    yield
    file.unlink()


@asynccontextmanager
async def full_drive(pod: Pod) -> AsyncIterator[None]:
    """Have no block left on a drive whose volumes were promised less; blocks are taken, not written."""
    file = Path(pod.target, "taken")
    room = os.statvfs(pod.target)
    with file.open("wb") as taken:
        left, piece = room.f_bavail * room.f_frsize, 64 * MIB
        while piece >= 4096:
            try:
                os.posix_fallocate(taken.fileno(), os.fstat(taken.fileno()).st_size, min(piece, max(left, 4096)))
            except OSError:
                piece //= 2
    yield
    file.unlink()


@asynccontextmanager
async def promised(running: Cluster) -> AsyncIterator[None]:
    """Have nearly all space of all drives promised."""
    names = []
    async with running.csi() as client:
        for _ in running.stack.nodes[0].devices:
            found = await client.controller.GetCapacity(csi.GetCapacityRequest())
            names.append(f"pvc-large-{len(names)}")
            await client.controller.CreateVolume(creation(names[-1], found.maximum_volume_size.value - SPARE))
    yield
    async with running.csi() as client:
        for name in names:
            await client.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=name))


async def new_volume(running: Cluster, name: str) -> tuple[Path, str]:
    """Return the directory of a new volume, once it is there, and the drive on which it is not."""
    async with running.csi() as client:
        made = (await client.controller.CreateVolume(creation(name, 16 * MIB))).volume
    home = made.volume_context[DRIVE]
    (other,) = set(await drives(running)) - {home}
    directory = Path(running.stack.nodes[0].root, "mnt", home, name)
    await eventually(lambda: asyncio.sleep(0, directory.stat()), "its drive has it")
    return directory, other


@asynccontextmanager
async def stuck(running: Cluster) -> AsyncIterator[None]:
    """Have a volume moved that has a file which is not copied with all its flags."""
    directory, other = await new_volume(running, "pvc-stuck")
    file = directory / "file"
    file.write_bytes(b"kept")
    await asyncio.to_thread(disks.command, "chattr", "+i", str(file))
    try:
        moved = ("move", directory.parent.name, other, "--with-data", "--volume", "pvc-stuck", "--no-wait")
        begun = await plugin(running, *moved)
        assert begun.returncode == 0, begun.stderr
        yield
    finally:
        await asyncio.to_thread(disks.command, "chattr", "-i", str(file))


@asynccontextmanager
async def contested(running: Cluster) -> AsyncIterator[None]:
    """Have a copy of a volume on another drive."""
    directory, other = await new_volume(running, "pvc-twice")
    copy = directory.parents[1] / other / directory.name
    async with away(running, agent(running)):
        copy_beside(running, directory.parent.name, other, directory.name)
    yield
    async with away(running, agent(running)):
        shutil.rmtree(copy)
        (copy.parent / f".directpv/volumes/{copy.name}.json").unlink()


async def test_alerts_of_an_installation_fire_while_their_cause_lasts_and_are_over_after_it(
    exposing: Cluster, ports: dict[str, int], tmp_path: Path
) -> None:
    running, pod = exposing, await a_pod(exposing)
    node = agent(running)
    causes: dict[str, Callable[[], AbstractAsyncContextManager[None]]] = {
        "DirectPVVolumeNearlyFull": lambda: full_volume(pod),
        "DirectPVDriveIsFull": lambda: full_drive(pod),
        "DirectPVCapacityLow": lambda: promised(running),
        "DirectPVNoAgents": lambda: away(running, node),
        "DirectPVNodeOffline": lambda: away(running, node),
        "DirectPVNoLeader": lambda: away(running, "controller-1"),
        "DirectPVBusDisconnected": lambda: away(running, "nats"),
        "DirectPVMovesStuck": lambda: stuck(running),
        "DirectPVVolumesContested": lambda: contested(running),
    }
    with prometheus(tmp_path, [*ports.values()]) as watching:
        await eventually(lambda: _scraped(watching), "all programs are scraped")
        for name, cause in causes.items():
            await _until(watching, name, fires=False)
            async with cause():
                await _until(watching, name, fires=True)
            await _until(watching, name, fires=False)
    elsewhere = {*test_firing.CAUSES, *test_rules.COUNTED, *_OF_THE_LEADER, "DirectPVDrivesNotServed"}
    assert {alert.name for alert in ALERTS} == {*causes, *elsewhere}, "an alert is fired nowhere"


_OF_THE_LEADER = {
    "DirectPVDrivesNotReconciled",
    "DirectPVUnreadableRecords",
    "DirectPVEventsWait",
    "DirectPVDrivesOvercommitted",
}
"""Fired with promtool alone."""


async def _scraped(watching: Prometheus) -> None:
    found = await asyncio.to_thread(watching.ask, "query", query="min(up)")
    assert [each["value"][1] for each in found["result"]] == ["1"]


async def _until(watching: Prometheus, name: str, *, fires: bool) -> None:
    async def look() -> None:
        assert (name in await asyncio.to_thread(watching.firing)) is fires

    await eventually(look, f"{name} {'fires' if fires else 'does not fire'}", WITHIN)


async def test_every_metric_that_an_alert_looks_at_is_one_that_a_program_exposes(
    exposing: Cluster, ports: dict[str, int]
) -> None:
    """An alert on a name that nobody says would never fire, and promtool would not tell."""
    await a_pod(exposing)
    wanted = {name for alert in ALERTS for name in NAME.findall(alert.expr)} - OF_DISKS - IN_CLUSTERS

    async def look() -> None:
        said = "\n".join([await asyncio.to_thread(scrape, port) for port in ports.values()])
        assert wanted - set(re.findall(r"^# TYPE (\S+)", said, re.MULTILINE)) == set()

    await eventually(look, "all are exposed")
