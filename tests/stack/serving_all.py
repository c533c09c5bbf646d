"""``python serving_all.py SCENE FOLDER``: stacks of which only the processes are real, programs that sleep."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

from directpv_cli.local.lifecycle import start, stop
from directpv_cli.local.machine import processes
from directpv_cli.local.machine.processes import MARK
from directpv_cli.local.stack import Options, Stack


def stack(base: Path, name: str, *programs: str) -> Stack:
    """Start programs that sleep under the names of services."""
    made = Stack(options=Options(directory=str(base / name)))
    made.directory.mkdir()
    for program in programs:
        binary = base / program
        if not binary.exists():
            shutil.copy("/bin/sleep", binary)
        log, env = made.directory / "log", {MARK: str(made.directory)}
        made.running.append(processes.start(program, [str(binary), "600"], env=env, log=log))
    made.save()
    return made


def ends_with_the_last_stack(base: Path) -> None:
    """A udevd ends with the last stack that it serves, whichever started it."""
    first = stack(base, "first", "systemd-udevd", "nodeagent")
    second = stack(base, "second", "nodeagent")
    udevd, agent = first.running

    stop.down(first.directory)

    assert (udevd.alive, agent.alive, second.running[0].alive) == (True, False, True)
    stop.down(second.directory)
    assert not udevd.alive


def is_kept_by_a_stack_that_is_down_but_not_removed(base: Path) -> None:
    """Its files may be attached again at any time."""
    first, second = stack(base, "first", "systemd-udevd"), stack(base, "second", "nodeagent")

    stop.down(second.directory)

    assert first.running[0].alive


def is_let_be_by_the_next_stack_while_it_has_no_time(base: Path) -> None:
    """One beside another would spoil both."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    first, second = stack(base, "first"), stack(base, "second")
    for each in (first, second):
        (each.directory / "logs").mkdir()
    start.start_udevd(first)
    (udevd,) = first.running
    processes.send(udevd, signal.SIGSTOP)

    start.start_udevd(second)

    assert second.running == []
    stop.down(second.directory)
    assert udevd.alive
    processes.send(udevd, signal.SIGCONT)
    stop.down(first.directory)
    assert not udevd.alive


if __name__ == "__main__":
    assert not processes.by_stack(), "there are other stacks"
    globals()[sys.argv[1]](Path(sys.argv[2]))
