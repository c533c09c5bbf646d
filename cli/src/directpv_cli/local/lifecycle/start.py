"""``directpv up``: everything lives below one directory, and is taken down again when something fails."""

import asyncio
import contextlib
import functools
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import directpv_common.protocol.messages as m
from directpv_cli.local import keys
from directpv_cli.local.lifecycle.stop import down
from directpv_cli.local.machine import disks, processes, udevd
from directpv_cli.local.machine.ports import free_port, is_free
from directpv_cli.local.machine.processes import MARK, wait_until
from directpv_cli.local.stack import NodeStack, Options, Stack, StackError, address_of
from directpv_cli.reaching.local_stack import STACKS
from directpv_common.access.nkey import read_seed
from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.api import Controller, Endpoint, Node
from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.subjects import DEFAULT_PREFIX
from directpv_common.protocol.units import MIB

START_SECONDS: Final = 30.0
SMALLEST_DRIVE: Final = 512 * MIB
MAX_SOCKET_PATH: Final = 107
GREETING_BYTES: Final = 4096
"""A NATS server says first who it is."""


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
        raise StackError(f"{directory}: {error.strerror}; choose another --state-dir") from error
    stack = Stack(options=options)
    stack.save()
    try:
        start_udevd(stack)
        _make_nodes(stack)
        disks.command("udevadm", "settle", "--timeout=20")  # what udev still adds to a device would change its id
        stack.quota = "required" if disks.quota_supported(directory) else "best-effort"
        stack.nats_url = f"nats://127.0.0.1:{options.nats_port or free_port()}"
        stack.save()
        stack.configure_nats()
        for name in stack.services():
            stack.start(name)
            if name == "nats":
                waited(stack, name, lambda: greets(stack))
        for node in stack.nodes:
            waited(stack, f"gateway-{node.name}", functools.partial(answers, node.csi_socket))
        asyncio.run(all_answer(stack))
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
    if options.nats_port and not is_free(options.nats_port):
        there = STACKS.directory_at(f"nats://127.0.0.1:{options.nats_port}")
        who = f"the stack in {there}" if there else "another server"
        raise StackError(
            f"--nats-port: {who} listens on 127.0.0.1:{options.nats_port}; choose another port; 0 takes a free one"
        )
    for program in ("mkfs.xfs", "losetup", "mount", "udevadm"):
        if shutil.which(program) is None:
            raise StackError(f"{program} is missing; install the packages xfsprogs, mount and udev")


def start_udevd(stack: Stack) -> None:
    """Start udevd if none runs; it belongs to the stack then, and ends with it.

    Raises:
        StackError: There is none, or it did not start.
    """
    try:
        with udevd.gate():
            if udevd.runs():
                return
            log, env = stack.directory / "logs" / "udevd.log", {MARK: str(stack.directory)}
            started = processes.start("udevd", [udevd.to_start()], env=env, log=log)
            stack.running = [*(process for process in stack.running if process.name != "udevd"), started]
            stack.save()
            waited(stack, "udevd", udevd.runs, udevd.START_SECONDS)
    except (FileNotFoundError, TimeoutError) as error:
        raise StackError(str(error)) from error


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


def waited(stack: Stack, name: str, condition: Callable[[], bool], within: float = START_SECONDS) -> None:
    """Wait ``within`` seconds until a service of the stack has started.

    Raises:
        StackError: It ended, or took too long; shows the end of its log.
    """
    process = stack.process(name)
    wait_until(lambda: condition() or not process.alive, within)
    if not process.alive or not condition():
        log = stack.directory / "logs" / f"{name}.log"
        raise StackError(f"{name} did not start: {_tail(log)}")


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()[-8:] if log.exists() else []
    return "\n".join(lines) or "it said nothing"


async def all_answer(stack: Stack) -> None:
    """Wait until every agent and a leader answer.

    Raises:
        StackError: One does not; shows the end of its log.
    """
    key = read_seed(keys.key_file(stack.directory, keys.ADMINISTRATOR))
    async with connect_bus(stack.nats_url, name="directpv up", prefix=DEFAULT_PREFIX, nkey=key) as bus:
        calls: list[tuple[str, Endpoint[Any, Any], object, str | None]] = [
            ("controller-1", Controller.NODE_LIST, m.ListNodes(limit=1, paged=True), None),
            *((f"nodeagent-{node.name}", Node.NODE_GET, m.Empty(), node.name) for node in stack.nodes),
        ]
        for name, endpoint, request, node in calls:
            try:
                await bus.call(endpoint, request, node=node, within=START_SECONDS, attempt=1)
            except DirectPVError as error:
                log = _tail(stack.directory / "logs" / f"{name}.log")
                raise StackError(f"{name} does not answer ({error.message}): {log}") from error


def greets(stack: Stack) -> bool:
    """Tell whether the bus of this very stack answers at its URL, and not another server that has the port."""
    host, port = address_of(stack.nats_url)
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1) as client:
        client.settimeout(1)
        return f'"server_name":"{stack.bus_name}"'.encode() in client.recv(GREETING_BYTES)
    return False


def answers(path: str) -> bool:
    """Tell whether somebody listens at a unix socket."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        client.connect(path)
        return True
    return False
