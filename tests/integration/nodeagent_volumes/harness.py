"""Real parts for tests of the node agent: loop devices over own files, nats-server, the agent as a process."""

import asyncio
import contextlib
import errno
import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from directpv_common.api import Node
from directpv_common.bus import Bus
from directpv_common.errors import DirectPVError
from directpv_common.messages import (
    Empty,
    Fence,
    FormatDevice,
    FormatDevices,
    FormatResult,
    GetInventory,
    HeldDrive,
    Inventory,
    PrepareVolumes,
    PublishVolume,
    RemoveVolume,
    StageVolume,
    UnpublishVolume,
    UnstageVolume,
    VolumeRecord,
)
from support.nats import free_port

MIB = 1024 * 1024
FENCE = Fence(registry="test", epoch=1)
WAIT = 20.0


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def _succeeds(*argv: str) -> bool:
    return subprocess.run(argv, check=False, capture_output=True, timeout=60).returncode == 0


def mounts_below(path: str | Path) -> list[str]:
    """Mount points at or below ``path``, innermost last made first."""
    table = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    points = [line.split(" ")[4].replace("\\040", " ") for line in table]
    return [point for point in reversed(points) if point == str(path) or point.startswith(f"{path}/")]


def unmount_below(path: str | Path) -> None:
    for point in mounts_below(path):
        subprocess.run(("umount", "-l", point), check=False, capture_output=True, timeout=30)


class Loops:
    """Loop devices over files in a directory of the test; all are detached at the end."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.attached: dict[str, Path] = {}

    def make(self, mib: int = 600) -> str:
        """Attach a device of ``mib`` MiB over a new file; return its kernel name."""
        path = self.directory / f"disk-{uuid.uuid4().hex[:8]}.img"
        path.touch()
        os.truncate(path, mib * MIB)
        return self.attach(path)

    def attach(self, path: Path) -> str:
        """Attach ``path`` to a device with a number that no other program uses, nor udev remembers; return its name."""
        while True:
            minor = random.randrange(10_000, 900_000)
            with contextlib.suppress(FileExistsError):
                _loop_control(_LOOP_CTL_ADD, minor)
                break
        return self._attach(minor, path)

    def attach_at(self, minor: int, path: Path) -> str:
        """Attach ``path`` to the device with that number, which was removed before."""
        _loop_control(_LOOP_CTL_ADD, minor)
        return self._attach(minor, path)

    def _attach(self, minor: int, path: Path) -> str:
        name = f"loop{minor}"
        self.attached[name] = path
        # udev looks at a new device at once, and the kernel refuses to attach a file meanwhile.
        wait_until(lambda: _succeeds("losetup", f"/dev/{name}", str(path)), f"{name} is attached")
        return name

    def clone(self, source: str, target: str) -> None:
        """Make the device ``target`` an exact copy of ``source``."""
        run("dd", f"if=/dev/{source}", f"of=/dev/{target}", "bs=4M", "conv=sparse,fsync")

    def detach(self, name: str) -> Path:
        """Pull the device; return its file."""
        path = self.attached.pop(name)
        run("losetup", "--detach", f"/dev/{name}")
        wait_until(lambda: _removed(name), f"{name} is removed")
        return path

    def close(self) -> None:
        unmount_below(self.directory)
        for name in list(self.attached):
            subprocess.run(("losetup", "--detach", f"/dev/{name}"), check=False, capture_output=True, timeout=30)
            with contextlib.suppress(AssertionError):
                wait_until(lambda name=name: _removed(name), f"{name} is removed", 5)  # type: ignore[misc]


_LOOP_CTL_ADD = 0x4C80
_LOOP_CTL_REMOVE = 0x4C81


def _loop_control(request: int, minor: int) -> None:
    with open("/dev/loop-control", "rb") as control:
        fcntl.ioctl(control, request, minor)


def _removed(name: str) -> bool:
    """Remove a detached loop device; False while somebody, such as udev, has it open."""
    try:
        _loop_control(_LOOP_CTL_REMOVE, int(name.removeprefix("loop")))
    except OSError as error:
        return error.errno == errno.ENODEV
    return True


def wait_until(condition: Callable[[], bool], what: str, within: float = WAIT) -> None:
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"not within {within} s: {what}"
        time.sleep(0.01)


async def eventually(condition: Callable[[], Awaitable[Any]], what: str, within: float = WAIT) -> Any:
    """Wait until ``condition()`` returns something true; errors of ours count as not yet."""
    end = asyncio.get_running_loop().time() + within
    last: object = None
    while asyncio.get_running_loop().time() < end:
        try:
            last = await condition()
            if last:
                return last
        except DirectPVError as error:
            last = error
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {within} s: {what}; last was {last!r}")


class AgentProcess:
    """The agent, as it is run in production, over devices of the test alone."""

    def __init__(self, base: Path, port: int, node: str = "n1", quota: str = "best-effort") -> None:
        self.node = node
        self.root = base / f"root-{node}"
        self.log = base / f"agent-{node}.log"
        self.port = port
        self.quota = quota
        self.metrics_port = free_port()
        self.readiness_port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.extra: tuple[str, ...] = ()

    def start(self, *devices: str) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                (
                    sys.executable,
                    "-m",
                    "directpv_nodeagent",
                    f"--node-name={self.node}",
                    f"--root={self.root}",
                    f"--nats-url=nats://127.0.0.1:{self.port}",
                    f"--devices={','.join(devices) or 'none'}",
                    f"--quota={self.quota}",
                    "--http-host=127.0.0.1",
                    f"--metrics-port={self.metrics_port}",
                    f"--readiness-port={self.readiness_port}",
                    "--scan-interval=0.5",
                    "--heartbeat-interval=0.5",
                    "--metrics-interval=0.2",
                    *self.extra,
                ),
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def kill(self, how: signal.Signals = signal.SIGKILL) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(20)
        self.process = None
        return code

    def close(self) -> None:
        if self.process is not None:
            self.kill()
        unmount_below(self.root)

    def log_text(self) -> str:
        return self.log.read_text(encoding="utf-8")


class Client:
    """Asks one agent, as gateway and controller would."""

    def __init__(self, bus: Bus, node: str) -> None:
        self.bus = bus
        self.node = node

    async def ask(self, endpoint: Any, request: Any, within: float = WAIT) -> Any:
        return await self.bus.call(endpoint, request, node=self.node, within=within, attempt=1.0)

    async def inventory(self) -> Inventory:
        return await self.ask(Node.INVENTORY_GET, GetInventory())  # type: ignore[no-any-return]

    async def held(self, fsuuid: str) -> HeldDrive:
        return next(drive for drive in (await self.inventory()).drives if drive.record.fsuuid == fsuuid)

    async def drive_when(self, fsuuid: str, condition: Callable[[HeldDrive], bool], what: str) -> HeldDrive:
        async def check() -> HeldDrive | None:
            found = [drive for drive in (await self.inventory()).drives if drive.record.fsuuid == fsuuid]
            return found[0] if found and condition(found[0]) else None

        return await eventually(check, what)  # type: ignore[no-any-return]

    async def format(self, *names: str, force: bool = False) -> tuple[FormatResult, ...]:
        devices = {device.name: device for device in (await self.ask(Node.DEVICE_LIST, Empty())).devices}
        wanted = tuple(FormatDevice(id=devices[name].id, name=name, force=force) for name in names)
        reply = await self.ask(Node.DEVICE_FORMAT, FormatDevices(devices=wanted, fence=FENCE), within=60)
        return reply.results  # type: ignore[no-any-return]

    async def make_drive(self, name: str) -> str:
        (result,) = await self.format(name)
        assert result.drive is not None, result.error
        return result.drive.fsuuid

    async def prepare(self, *records: VolumeRecord, fence: Fence = FENCE) -> dict[str, str]:
        return (await self.ask(Node.VOLUME_PREPARE, PrepareVolumes(records=records, fence=fence))).failed  # type: ignore[no-any-return]

    async def make_volume(self, fsuuid: str, name: str, mib: int = 20, **fields: Any) -> VolumeRecord:
        record = VolumeRecord(name=name, fsuuid=fsuuid, capacity=mib * MIB, **fields)
        assert await self.prepare(record) == {}
        return record

    async def stage(self, name: str, path: Path | str, **fields: Any) -> None:
        await self.ask(Node.VOLUME_STAGE, StageVolume(name=name, staging_path=str(path), **fields))

    async def publish(self, name: str, staging: Path, target: Path, **fields: Any) -> None:
        request = PublishVolume(name=name, staging_path=str(staging), target_path=str(target), **fields)
        await self.ask(Node.VOLUME_PUBLISH, request)

    async def unpublish(self, name: str, target: Path | str) -> None:
        await self.ask(Node.VOLUME_UNPUBLISH, UnpublishVolume(name=name, target_path=str(target)))

    async def unstage(self, name: str, path: Path) -> None:
        await self.ask(Node.VOLUME_UNSTAGE, UnstageVolume(name=name, staging_path=str(path)))

    async def remove(self, fsuuid: str, name: str, fence: Fence = FENCE) -> bool:
        return (await self.ask(Node.VOLUME_REMOVE, RemoveVolume(name=name, fsuuid=fsuuid, fence=fence))).purged  # type: ignore[no-any-return]


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory of the test; whatever is mounted below it at the end is unmounted."""
    path = Path(tempfile.mkdtemp(prefix="directpv-test-"))
    try:
        yield path
    finally:
        unmount_below(path)
        shutil.rmtree(path, ignore_errors=True)
