"""``directpv down``: finds what belongs to a stack even when ``up`` was killed in the middle."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from directpv_cli.local import disks, keys, processes
from directpv_cli.local.processes import Process
from directpv_cli.local.stack import FILE, StackError, load


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
    keys.withdraw(directory, load(directory).nats_url)
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
