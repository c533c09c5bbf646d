"""``directpv down``: finds what belongs to a stack even when ``up`` was killed in the middle."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from directpv_cli.local import keys, nats_context
from directpv_cli.local.machine import disks, processes
from directpv_cli.local.machine.processes import Process
from directpv_cli.local.stack import StackError, load
from directpv_cli.reaching.local_stack import FILE

BEGUN: Final = "going-down"
"""A file that is there from the moment that the end of a stack was decided; ``up`` takes it away."""


def down(directory: Path, gone: str = "", on_wait: Callable[[str], None] = processes.unheard) -> str:
    """Stop the stack in ``directory`` and remove every trace of it; return what is gone with it.

    Args:
        directory: Of the stack.
        gone: What it holds, in words, for who wants to know. Of an end that was begun before it is what there was then.
        on_wait: Told what is waited for, if that takes longer than people expect.

    Raises:
        StackError: Nothing is there, or something is in use and would not let go.
    """
    if not (directory / FILE).exists():
        raise StackError(f"no stack in {directory}")
    if not begun(directory):
        (directory / BEGUN).write_text(gone)
    gone = (directory / BEGUN).read_text() or gone
    try:
        for process in _ending_order(directory):
            processes.stop(process, on_wait)
        disks.undo(directory, on_wait)
    except disks.DiskError as error:
        raise StackError(f"{error}; what else there was of the stack is gone already") from error
    except TimeoutError as error:
        raise StackError(str(error)) from error
    keys.withdraw(directory, load(directory).nats_url)
    nats_context.take_away(directory)
    shutil.rmtree(directory)
    return gone


def _ending_order(directory: Path) -> Iterator[Process]:
    """Gateways first, then agents and controllers, the bus, and udevd last.

    A udevd serves all stacks of the machine: it ends with the last one, whichever started it.
    """
    ranks = ("gateway", "nodeagent", "controller", "nats", "udevd")
    running = processes.by_stack()
    known = {process.pid: process for process in load(directory).running if process.alive}
    known |= {process.pid: process for process in running.pop(str(directory), []) if process.pid not in known}
    left = [process for other, some in running.items() if not (Path(other) / FILE).exists() for process in some]
    if len(left) == sum(map(len, running.values())) and all(map(is_udevd, left)):
        known |= {process.pid: process for process in left}
    else:
        known = {pid: process for pid, process in known.items() if not is_udevd(process)}

    def rank(process: Process) -> int:
        kind = "udevd" if is_udevd(process) else process.name.partition("-")[0]
        return ranks.index(kind) if kind in ranks else 0

    yield from sorted(known.values(), key=rank)


def begun(directory: Path) -> bool:
    """Tell whether the end of the stack was decided already, and something kept it from going."""
    return (directory / BEGUN).exists()


def is_udevd(process: Process) -> bool:
    """Tell whether it is a udevd, which serves all stacks of the machine."""
    return process.name in ("udevd", "systemd-udevd", "(udev-worker)")
