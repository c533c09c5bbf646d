"""Real parts for tests of the node agent: loop devices over own files, nats-server, the agent as a process."""

import contextlib
import errno
import fcntl
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from directpv_common.protocol.api import Node
from directpv_common.protocol.messages import Empty
from support.forked import Forked
from support.node_client import MIB, WAIT, Client, eventually
from support.pausing import pause
from support.ports import free_port


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
        run("udevadm", "settle", "--timeout=45")  # what udev still finds out about the device changes its id
        return name

    def clone(self, source: str, target: str) -> None:
        """Make the device ``target`` an exact copy of ``source``."""
        run("dd", f"if=/dev/{source}", f"of=/dev/{target}", "bs=4M", "conv=sparse,fsync")

    def detach(self, name: str) -> Path:
        """Pull the device, mounted or not: an agent may have put back what was unmounted before; return its file."""
        number = Path(f"/sys/class/block/{name}/dev").read_text().strip()
        run("losetup", "--detach", f"/dev/{name}")
        wait_until(lambda: _pulled(name, number), f"{name} is removed")
        return self.attached.pop(name)

    def close(self) -> None:
        unmount_below(self.directory)
        for name in list(self.attached):
            subprocess.run(("losetup", "--detach", f"/dev/{name}"), check=False, capture_output=True, timeout=30)
            with contextlib.suppress(AssertionError):
                wait_until(lambda name=name: _removed(name), f"{name} is removed", 30)  # type: ignore[misc]


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


def _pulled(name: str, number: str) -> bool:
    """Remove a detached loop device; if it is mounted again (as ``major:minor``), unmount it, as a pull would."""
    if _removed(name):
        return True
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        if line.split(" ")[2] == number:
            point = line.split(" ")[4].replace("\\040", " ")
            subprocess.run(("umount", "-l", point), check=False, capture_output=True, timeout=30)
    return False


def _stopped(pid: int) -> bool:
    """Tell whether all threads of a process have stopped."""
    try:
        stats = [task.joinpath("stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):  # a thread has ended just now
        return False
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


def _open_files(pid: int) -> list[str]:
    return [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]


def wait_until(condition: Callable[[], bool], what: str, within: float = WAIT) -> None:
    end = time.monotonic() + within
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < end, f"not within {within} s: {what}"
        time.sleep(pause(time.monotonic() - began))
        began = time.monotonic()


def unmount(path: Path) -> None:
    """Unmount as a person would, who tries again while the agent is just looking at it."""
    wait_until(lambda: _succeeds("umount", str(path)), f"{path} is unmounted")


class AgentProcess:
    """The agent, as it is run in production, over devices of the test alone; see :mod:`support.forked`."""

    def __init__(self, base: Path, port: int, node: str = "n1", quota: str = "best-effort") -> None:
        self.node = node
        self.root = base / f"root-{node}"
        self.log = base / f"agent-{node}.log"
        self.port = port
        self.quota = quota
        self.metrics_port = free_port()
        self.readiness_port = free_port()
        self.process: Forked | None = None
        self.extra: tuple[str, ...] = ()
        self.devices: tuple[str, ...] = ()
        """Of tests that start it again."""

    def start(self, *devices: str) -> None:
        with self.log.open("ab") as log:
            self.process = Forked(
                "directpv-nodeagent",
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
                env=os.environ,
                stdout=log,
                stderr=log,
            )

    async def answers(self, client: Client) -> None:
        """Wait until it serves; a process that has ended will not, and its log says why."""

        async def look() -> object:
            assert self.process is not None, "the agent was not started"
            assert self.process.poll() is None, f"the agent ended with {self.process.returncode}:\n{self.log_text()}"
            return await client.ask(Node.NODE_GET, Empty(), within=1)

        await eventually(look, "the agent answers", 2 * WAIT)

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

    def freeze(self) -> None:
        """Stop it in its tracks, at a moment when it has nothing open on its drives: they can be unmounted then."""
        assert self.process is not None
        process = self.process

        def frozen() -> bool:
            process.send_signal(signal.SIGSTOP)
            wait_until(lambda: _stopped(process.pid), "the agent stands still")
            if any(str(target).startswith(f"{self.root}/mnt/") for target in _open_files(process.pid)):
                process.send_signal(signal.SIGCONT)
                return False
            return True

        wait_until(frozen, "the agent stands still with nothing open")

    def go_on(self) -> None:
        """Let it run on after :meth:`freeze`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def log_text(self) -> str:
        return self.log.read_text(encoding="utf-8")


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory of the test; whatever is mounted below it at the end is unmounted."""
    path = Path(tempfile.mkdtemp(prefix="directpv-test-"))
    try:
        yield path
    finally:
        unmount_below(path)
        shutil.rmtree(path, ignore_errors=True)
