"""A real stack for tests: started like ``directpv up``, driven over CSI and the bus, checked against its drives."""

import asyncio
import contextlib
import secrets
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from grpclib.exceptions import GRPCError, StreamTerminatedError

import directpv_common.protocol.messages as m
from directpv_cli.commands import listing
from directpv_cli.commands.changing import discover
from directpv_cli.local import keys, stack
from directpv_cli.local.csi_client import CsiClient, capability, connect
from directpv_cli.local.lifecycle import start, stop
from directpv_cli.local.machine import processes
from directpv_cli.reading import drives_yaml
from directpv_common.access.nkey import Nkey, read_seed
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.errors import DirectPVError
from directpv_csi_gateway.pb import csi_pb2 as csi
from support import devices, freezing

T = TypeVar("T")
SETTLE_SECONDS = 100.0
LOOK_SECONDS = 0.1
LONGEST_LOOK_SECONDS = 1.0
CALL_FAILED = (GRPCError, StreamTerminatedError, OSError, TimeoutError, AttributeError)
"""What a CSI call may raise. AttributeError: of grpclib's client, when the connection ends before its first request."""


@dataclass
class Cluster:
    """A running stack with its directory."""

    stack: stack.Stack

    @property
    def socket(self) -> str:
        return self.stack.nodes[0].csi_socket

    @property
    def key(self) -> Nkey:
        """The administrator's key."""
        return read_seed(keys.key_file(self.stack.directory, keys.ADMINISTRATOR))

    def kill(self, name: str) -> None:
        """End a service as a crash would."""
        processes.kill(self.stack.process(name))

    def start(self, name: str) -> None:
        self.stack.start(name)

    def freeze(self, name: str) -> None:
        freezing.freeze(self.stack.process(name).pid, self.stack.directory / "registry/registry.db")

    def thaw(self, name: str) -> None:
        processes.send(self.stack.process(name), signal.SIGCONT)

    def log(self, name: str) -> str:
        return (self.stack.directory / "logs" / f"{name}.log").read_text(errors="replace")

    @contextlib.asynccontextmanager
    async def bus(self) -> AsyncIterator[Bus]:
        async with connect_bus(self.stack.nats_url, name="test", prefix="directpv.v1", nkey=self.key) as bus:
            yield bus

    @contextlib.asynccontextmanager
    async def csi(self, node: int = 0) -> AsyncIterator[CsiClient]:
        async with connect(self.stack.nodes[node].csi_socket) as client:
            yield client

    async def initialise(self) -> None:
        """Make every device a drive, by discover and init."""
        async with self.bus() as bus:
            nodes = tuple(node.name for node in self.stack.nodes)
            found = await eventually(lambda: _all_found(bus, nodes), "discover finds every device")
            requests = drives_yaml.parse(drives_yaml.render(found.devices))
            results = await discover.format_all(bus, requests, 120)
            errors = [result.error for _, result in results if result.error]
            assert not errors, errors
            assert len(results) == self.drives

    @property
    def drives(self) -> int:
        return sum(len(node.devices) for node in self.stack.nodes)

    def volume_dirs(self) -> dict[str, list[str]]:
        """Return the names of the volume directories on each drive, by drive id; read from the mounted drives."""
        found = {}
        for node in self.stack.nodes:
            for mount in Path(node.root, "mnt").glob("*"):
                if (mount / f".FSUUID.{mount.name}").is_symlink():
                    found[mount.name] = sorted(e.name for e in mount.iterdir() if not e.name.startswith("."))
        return found


async def _all_found(bus: Bus, nodes: tuple[str, ...]) -> discover.Found:
    found = await discover.find(bus, nodes, 30)
    assert not found.silent, found.silent
    assert found.devices
    return found


@contextlib.contextmanager
def cluster(**options: object) -> Iterator[Cluster]:
    """Run a stack while the block runs; nothing of it is left afterwards."""
    directory = Path(tempfile.gettempdir()) / f"dpv-{secrets.token_hex(4)}"
    settings = {"nats_port": 0, "drive_size": 1024**3, "drives": 2, **options}
    options_ = stack.Options(directory=str(directory), **settings)  # type: ignore[arg-type]
    made: list[str] = []
    try:
        with devices.of_their_own(made):
            running = Cluster(in_thread(lambda: start.up(options_)))
        try:
            yield running
        except BaseException:
            keep_logs(running)
            raise
        finally:
            for process in running.stack.running:
                processes.send(process, signal.SIGCONT)
            in_thread(lambda: stop.down(directory))
    finally:
        for device in made:
            devices.remove(device)


def in_thread(work: Callable[[], T]) -> T:
    """Run ``work``, which has an event loop of its own, also from within a test that has one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def keep_logs(running: Cluster) -> None:
    """Print the end of each log: the directory goes away."""
    for log in sorted((running.stack.directory / "logs").glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-25:]
        print(f"---- {log.name}", *lines, sep="\n")


async def eventually(check: Callable[[], Awaitable[T]], what: str, within: float = SETTLE_SECONDS) -> T:
    """Repeat ``check`` until it returns without error; the last error is shown when the time is over.

    Between two looks as much time passes as the look took: what is waited for needs processors, too.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        began = loop.time()
        try:
            return await check()
        except (AssertionError, DirectPVError, *CALL_FAILED) as error:
            if loop.time() > deadline:
                raise AssertionError(f"not within {within:.0f} s: {what}: {error!r}") from error
            await asyncio.sleep(min(max(LOOK_SECONDS, loop.time() - began), LONGEST_LOOK_SECONDS))


async def everything(bus: Bus) -> tuple[list[m.DriveInfo], list[m.VolumeInfo]]:
    """Return all drives and all volumes."""
    return await listing.all_drives(bus, m.ListDrives()), await listing.all_volumes(bus, m.ListVolumes())


def broken_invariants(drives: list[m.DriveInfo], volumes: list[m.VolumeInfo]) -> list[str]:
    """Return what contradicts the invariants of the registry, in words; empty when all is well."""
    wrong = []
    held: Counter[str] = Counter()
    for volume in volumes:
        held[volume.record.fsuuid] += volume.record.capacity
    for drive in drives:
        record = drive.record
        if drive.free < 0 or drive.free + drive.allocated != record.total:
            wrong.append(f"{record.fsuuid}: {drive.free} free + {drive.allocated} allocated is not {record.total}")
        if drive.allocated != record.overhead + held[record.fsuuid]:
            wrong.append(f"{record.fsuuid}: {drive.allocated} allocated, volumes hold {held[record.fsuuid]}")
    wrong += [f"volume {name} is listed twice" for name, n in Counter(v.record.name for v in volumes).items() if n > 1]
    known = {drive.record.fsuuid for drive in drives}
    wrong += [f"{v.record.name} is on no drive" for v in volumes if v.record.fsuuid not in known]
    return wrong


async def settled(running: Cluster, bus: Bus) -> tuple[list[m.DriveInfo], list[m.VolumeInfo]]:
    """Wait until registry and drives agree; return drives and volumes, after checking the invariants."""

    async def agree() -> tuple[list[m.DriveInfo], list[m.VolumeInfo]]:
        drives, volumes = await everything(bus)
        assert broken_invariants(drives, volumes) == []
        registered: dict[str, list[str]] = {drive.record.fsuuid: [] for drive in drives}
        for volume in volumes:
            registered[volume.record.fsuuid].append(volume.record.name)
        on_drives = running.volume_dirs()
        assert on_drives == {fsuuid: sorted(names) for fsuuid, names in registered.items()}
        return drives, volumes

    return await eventually(agree, "registry and drives agree")


class Pod:
    """Uses one volume as kubelet would for a pod."""

    def __init__(self, client: CsiClient, volume: csi.Volume, home: Path) -> None:
        self.client, self.volume = client, volume
        self.staging = str(home / volume.volume_id / "staging")
        self.target = str(home / volume.volume_id / "mount")
        Path(self.staging).parent.mkdir(parents=True, exist_ok=True)

    async def stage(self) -> None:
        request = csi.NodeStageVolumeRequest(
            volume_id=self.volume.volume_id,
            staging_target_path=self.staging,
            volume_capability=capability(),
            volume_context=self.volume.volume_context,
        )
        await self.client.node.NodeStageVolume(request)

    async def publish(self, *, read_only: bool = False) -> None:
        request = csi.NodePublishVolumeRequest(
            volume_id=self.volume.volume_id,
            staging_target_path=self.staging,
            target_path=self.target,
            volume_capability=capability(),
            volume_context=self.volume.volume_context,
            readonly=read_only,
        )
        await self.client.node.NodePublishVolume(request)

    async def stats(self) -> csi.NodeGetVolumeStatsResponse:
        request = csi.NodeGetVolumeStatsRequest(volume_id=self.volume.volume_id, volume_path=self.target)
        return await self.client.node.NodeGetVolumeStats(request)

    async def unpublish(self) -> None:
        request = csi.NodeUnpublishVolumeRequest(volume_id=self.volume.volume_id, target_path=self.target)
        await self.client.node.NodeUnpublishVolume(request)

    async def unstage(self) -> None:
        request = csi.NodeUnstageVolumeRequest(volume_id=self.volume.volume_id, staging_target_path=self.staging)
        await self.client.node.NodeUnstageVolume(request)


def remove_home(home: Path) -> None:
    """Remove a pod directory; refuses to follow a mount that was left."""
    shutil.rmtree(home, ignore_errors=False)
