"""``directpv up`` where a stack is already: what has ended of it is started again, on the drives that it has."""

import asyncio
import contextlib
import fcntl
import functools
import os
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from directpv_cli.local import keys
from directpv_cli.local.lifecycle.start import all_answer, answers, greets, start_udevd, waited
from directpv_cli.local.lifecycle.stop import BEGUN, is_udevd
from directpv_cli.local.machine import disks, processes
from directpv_cli.local.machine.ports import is_free
from directpv_cli.local.stack import NATS_CONFIG, Stack, StackError, address_of, load
from directpv_cli.showing.terminal.lines import say
from directpv_common.protocol.counts import counted


def start_again(directory: Path) -> tuple[Stack, list[str]]:
    """Start what has ended of the stack in ``directory``, and return it with the names of what was started.

    Drives and volumes stay, and so does what runs. After a reboot the drives' files are attached again. Whatever fails,
    nothing is taken down.

    Raises:
        StackError: Its start was cut short, another one is at it, its port is taken, or a service does not start.
    """
    with _alone(directory):
        stack = load(directory)
        _require_whole(stack)
        (directory / BEGUN).unlink(missing_ok=True)
        try:
            _end_strays(stack)
            start_udevd(stack)
            moved = _attach(stack)
            keys.publish(directory, stack.nats_url)
            ended = [name for name in stack.services() if name in moved or not stack.runs(name)]
            _start(stack, ended)
        except (disks.DiskError, OSError) as error:
            raise StackError(str(error)) from error
    return stack, ended


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StackError(f"another `directpv up` is at work in {directory}; repeat when it is done") from None
    finally:
        os.close(descriptor)


def _require_whole(stack: Stack) -> None:
    if not stack.nats_url or len(stack.nodes) < stack.options.nodes or not (stack.directory / NATS_CONFIG).exists():
        raise StackError(
            f"the start of the stack in {stack.directory} was cut short, or goes on; it has no volumes: "
            f"`directpv down --state-dir {stack.directory}` removes it"
        )


def _end_strays(stack: Stack) -> None:
    """End services that were started just before the starter was killed, and that no list knows."""
    marked = [process for process in processes.marked(stack.directory) if not is_udevd(process)]
    pids, known = {process.pid for process in marked}, {process.pid for process in stack.running if process.alive}
    for process in marked:
        if process.pid not in known and processes.parent(process) not in pids:
            processes.stop(process)


def _attach(stack: Stack) -> list[str]:
    """Attach the files of drives that have no device, and return the services that must be told, which are stopped."""
    moved = []
    for index, node in enumerate(stack.nodes):
        images = [image for image in disks.images(stack.directory) if image.parts[-3] == node.name]
        if (missing := stack.options.drives - len(images)) > 0:
            say(
                f"[yellow]{counted(missing, 'drive')} of {node.name} cannot be served: {missing} of its files "
                f"{'is' if missing == 1 else 'are'} away. `directpv up` takes it in when it is back[/yellow]"
            )
        devices = tuple(disks.device_of(image) or disks.attach(image) for image in images)
        if devices == node.devices:
            continue
        stack.nodes[index] = replace(node, devices=devices)
        stack.save()
        moved.append(f"nodeagent-{node.name}")
        if stack.runs(moved[-1]):
            processes.stop(stack.process(moved[-1]))
    if moved:
        disks.command("udevadm", "settle", "--timeout=20")
    return moved


def _start(stack: Stack, ended: list[str]) -> None:
    host, port = address_of(stack.nats_url)
    if "nats" in ended and not is_free(port):
        raise StackError(f"another server listens on {host}:{port}, the port of this stack; end it, then repeat")
    for name in ended:
        stack.start(name)
        if name == "nats":
            waited(stack, name, lambda: greets(stack))
    for node in stack.nodes:
        waited(stack, f"gateway-{node.name}", functools.partial(answers, node.csi_socket))
    asyncio.run(all_answer(stack))
