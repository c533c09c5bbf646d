"""A whole stack on one machine: nats-server, controller, and per simulated node an agent and a CSI gateway.

Everything lives below one directory; :func:`down` finds what belongs to it even when ``up`` was killed in the middle.
"""

import asyncio
import contextlib
import functools
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

import directpv_common.messages as m
from directpv_cli.local import disks, processes
from directpv_cli.local.ports import free_port
from directpv_cli.local.processes import MARK, Process, wait_until
from directpv_common.api import Controller, Endpoint, Node
from directpv_common.bus import connect_bus
from directpv_common.errors import DirectPVError
from directpv_common.subjects import DEFAULT_PREFIX
from directpv_common.units import MIB

FILE: Final = "stack.json"
START_SECONDS: Final = 30.0
HEARTBEAT_SECONDS: Final = 0.5
REBUILD_SECONDS: Final = 1.5
"""Nodes of one machine are heard within a few heartbeats: the first init need not wait as in a cluster."""
SMALLEST_DRIVE: Final = 512 * MIB
MAX_SOCKET_PATH: Final = 107


class StackError(Exception):
    """The stack cannot be started or stopped; the text says why, and what to do."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What to start."""

    directory: str
    nodes: int = 1
    drives: int = 4
    """Per node."""
    drive_size: int = 1024 * MIB
    nats_port: int = 4222
    """0: a free one."""
    controllers: int = 1
    lease: float = 3.0
    """Seconds of leadership without renewal."""


class NodeStack(msgspec.Struct, frozen=True, kw_only=True):
    """One simulated node."""

    name: str
    devices: tuple[str, ...]
    root: str
    csi_socket: str


class Stack(msgspec.Struct, kw_only=True):
    """A running stack, as kept in ``stack.json``."""

    options: Options
    nats_url: str = ""
    quota: str = ""
    """``required`` or ``best-effort``."""
    nodes: list[NodeStack] = []
    running: list[Process] = []

    @property
    def directory(self) -> Path:
        """Where everything is."""
        return Path(self.options.directory)

    def save(self) -> None:
        """Write ``stack.json``, whole or not at all."""
        temporary = self.directory / f"{FILE}.new"
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(self)))
        temporary.rename(self.directory / FILE)

    def process(self, name: str) -> Process:
        """Return the process called ``name``."""
        return next(process for process in self.running if process.name == name)

    def start(self, name: str) -> Process:
        """Start the service ``name`` (again), with the settings of this stack."""
        argv, env = self._command(name)
        log = self.directory / "logs" / f"{name}.log"
        process = processes.start(name, argv, env={**env, MARK: str(self.directory)}, log=log)
        self.running = [other for other in self.running if other.name != name] + [process]
        self.save()
        return process

    def services(self) -> list[str]:
        """Return the names of all services, in the order in which they start."""
        controllers = [f"controller-{index}" for index in range(1, self.options.controllers + 1)]
        nodes = [f"{kind}-{node.name}" for node in self.nodes for kind in ("nodeagent", "gateway")]
        return ["nats", *controllers, *nodes]

    def _command(self, name: str) -> tuple[list[str], dict[str, str]]:
        kind, _, rest = name.partition("-")
        common = {"DIRECTPV_NATS_URL": self.nats_url}
        if kind == "nats":
            return self._nats(), {}
        if kind == "controller":
            settings = {
                "DIRECTPV_REGISTRY": str(self.directory / "registry" / "registry.db"),
                "DIRECTPV_LEASE_SECONDS": str(self.options.lease),
                "DIRECTPV_REBUILD_SECONDS": str(REBUILD_SECONDS),
                "DIRECTPV_METRICS_PORT": "0",
            }
            return [sys.executable, "-m", "directpv_controller"], {**common, **settings}
        node = next(node for node in self.nodes if node.name == rest)
        if kind == "gateway":
            settings = {"DIRECTPV_CSI_SOCKET": node.csi_socket, "DIRECTPV_NODE_NAME": node.name, "DIRECTPV_MODE": "all"}
            return [sys.executable, "-m", "directpv_csi_gateway"], {**common, **settings}
        settings = {
            "DIRECTPV_NODE_NAME": node.name,
            "DIRECTPV_ROOT": node.root,
            "DIRECTPV_DEVICES": ",".join(node.devices),
            "DIRECTPV_QUOTA": self.quota,
            "DIRECTPV_METRICS_PORT": "0",
            "DIRECTPV_READINESS_PORT": "0",
            "DIRECTPV_HEARTBEAT_INTERVAL": str(HEARTBEAT_SECONDS),
        }
        return [sys.executable, "-m", "directpv_nodeagent"], {**common, **settings}

    def _nats(self) -> list[str]:
        program = Path(sys.executable).with_name("nats-server")
        host, port = self.nats_url.removeprefix("nats://").split(":")
        store = str(self.directory / "nats")
        return [str(program), "--addr", host, "--port", port, "--jetstream", "--store_dir", store]


def up(options: Options) -> Stack:
    """Start a stack; when something fails, what was started is taken down again.

    Raises:
        StackError: Not root, directory in use, a tool missing, a service that does not start.
    """
    _check(options)
    directory = Path(options.directory)
    try:
        (directory / "logs").mkdir(parents=True)
        (directory / "registry").mkdir()
    except OSError as error:
        raise StackError(f"{directory}: {error.strerror}; `directpv down` removes an earlier stack") from error
    stack = Stack(options=options)
    stack.save()
    try:
        _start_udevd(stack)
        _make_nodes(stack)
        disks.command("udevadm", "settle", "--timeout=20")  # what udev still adds to a device would change its id
        stack.quota = "required" if disks.quota_supported(directory) else "best-effort"
        stack.nats_url = f"nats://127.0.0.1:{options.nats_port or free_port()}"
        stack.save()
        for name in stack.services():
            stack.start(name)
            if name == "nats":
                _wait(stack, name, lambda: _listens(stack.nats_url))
        for node in stack.nodes:
            _wait(stack, f"gateway-{node.name}", functools.partial(_answers, node.csi_socket))
        asyncio.run(_all_answer(stack))
    except BaseException as error:
        down(directory)
        if isinstance(error, disks.DiskError | OSError):
            raise StackError(str(error)) from error
        raise
    return stack


def _check(options: Options) -> None:
    if os.geteuid() != 0:
        raise StackError("needs root: it attaches loop devices and mounts them")
    if options.drive_size < SMALLEST_DRIVE:
        raise StackError("--size: a drive must have at least 512 MiB")
    if options.nodes < 1 or options.drives < 0:
        raise StackError("--nodes must be at least 1, --drives at least 0")
    if len(f"{options.directory}/nodes/node-{options.nodes}/csi.sock") > MAX_SOCKET_PATH:
        raise StackError(f"--state-dir: {options.directory} is too long for a unix socket below it")
    for program in ("mkfs.xfs", "losetup", "mount", "udevadm"):
        if shutil.which(program) is None:
            raise StackError(f"{program} is missing; install the packages xfsprogs, util-linux and udev")


def _start_udevd(stack: Stack) -> None:
    """Start udevd if none answers; it belongs to the stack then, and ends with it."""
    with contextlib.suppress(disks.DiskError):
        disks.command("udevadm", "control", "--ping", "--timeout=2")
        return
    program = next(filter(os.path.exists, ("/lib/systemd/systemd-udevd", "/usr/lib/systemd/systemd-udevd")))
    log, env = stack.directory / "logs" / "udevd.log", {MARK: str(stack.directory)}
    stack.running.append(processes.start("udevd", [program], env=env, log=log))
    stack.save()
    _wait(stack, "udevd", _udevd_answers)


def _udevd_answers() -> bool:
    try:
        disks.command("udevadm", "control", "--ping", "--timeout=1")
    except disks.DiskError:
        return False
    return True


def _make_nodes(stack: Stack) -> None:
    for index in range(1, stack.options.nodes + 1):
        home = stack.directory / "nodes" / f"node-{index}"
        (home / "drives").mkdir(parents=True)
        devices = tuple(
            disks.make_disk(home / "drives" / f"drive-{number}.img", stack.options.drive_size)
            for number in range(1, stack.options.drives + 1)
        )
        node = NodeStack(name=home.name, devices=devices, root=str(home / "root"), csi_socket=str(home / "csi.sock"))
        stack.nodes.append(node)
        stack.save()


def _wait(stack: Stack, name: str, condition: Callable[[], bool]) -> None:
    process = stack.process(name)
    wait_until(lambda: condition() or not process.alive, START_SECONDS)
    if not process.alive or not condition():
        log = stack.directory / "logs" / f"{name}.log"
        raise StackError(f"{name} did not start: {_tail(log)}")


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()[-8:] if log.exists() else []
    return "\n".join(lines) or "it said nothing"


async def _all_answer(stack: Stack) -> None:
    """Wait until every agent and a leader answer.

    Raises:
        StackError: One does not; shows the end of its log.
    """
    async with connect_bus(stack.nats_url, name="directpv up", prefix=DEFAULT_PREFIX) as bus:
        calls: list[tuple[str, Endpoint[m.Empty, Any], str | None]] = [
            ("controller-1", Controller.NODE_LIST, None),
            *((f"nodeagent-{node.name}", Node.NODE_GET, node.name) for node in stack.nodes),
        ]
        for name, endpoint, node in calls:
            try:
                await bus.call(endpoint, m.Empty(), node=node, within=START_SECONDS, attempt=1)
            except DirectPVError as error:
                log = _tail(stack.directory / "logs" / f"{name}.log")
                raise StackError(f"{name} does not answer ({error.message}): {log}") from error


def _listens(url: str) -> bool:
    host, port = url.removeprefix("nats://").split(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def _answers(path: str) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        client.connect(path)
        return True
    return False


def load(directory: Path) -> Stack:
    """Return the stack in ``directory``.

    Raises:
        StackError: There is none, or its file cannot be read.
    """
    try:
        return msgspec.json.decode((directory / FILE).read_bytes(), type=Stack)
    except FileNotFoundError:
        raise StackError(f"no stack in {directory}; `directpv up` starts one") from None
    except (OSError, msgspec.DecodeError) as error:
        raise StackError(f"{directory / FILE}: {error}") from error


def down(directory: Path) -> None:
    """Stop the stack in ``directory`` and remove every trace of it.

    Raises:
        StackError: Nothing is there, or something is in use and would not let go.
    """
    if not (directory / FILE).exists():
        raise StackError(f"no stack in {directory}")
    try:
        for process in _ending_order(directory):
            processes.stop(process)
        disks.undo(directory)
    except (disks.DiskError, TimeoutError) as error:
        raise StackError(str(error)) from error
    shutil.rmtree(directory)


def _ending_order(directory: Path) -> Iterator[Process]:
    """Gateways first, then agents and controllers, the bus, and udevd last."""
    ranks = ("gateway", "nodeagent", "controller", "nats", "udevd")
    known = {process.pid: process for process in load(directory).running if process.alive}
    known |= {process.pid: process for process in processes.marked(directory) if process.pid not in known}

    def rank(process: Process) -> int:
        kind = process.name.partition("-")[0]
        return ranks.index(kind) if kind in ranks else 0

    yield from sorted(known.values(), key=rank)
