"""Processes of a local stack: started in sessions of their own, found again by pid and start time, ended for sure."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

STOP_SECONDS: Final = 10.0
KILL_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 1.0
"""So long nobody is told of what is waited for."""
POLL_SECONDS: Final = 0.02
EXEC_SECONDS: Final = 5.0
MARK: Final = "DIRECTPV_STACK"
"""Environment variable that every process of a stack carries; its value is the stack's directory."""


_MARKED: Final = f"{MARK}=".encode()


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A started process; ``started`` (clock ticks since boot) tells it from a later one with the same pid."""

    name: str
    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return start_time(self.pid) == self.started


def start_time(pid: int) -> int | None:
    """Return field 22 of /proc/<pid>/stat, or None if there is no such process or it is a zombie.

    The first thread of a process that was killed can be a zombie while others still hold its files and ports; their
    number is field 20.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if state in "ZX" and int(fields[16]) <= 1 else int(fields[18])


def start(name: str, argv: Sequence[str], *, env: Mapping[str, str], log: Path) -> Process:
    """Start ``argv`` in the background, its output appended to ``log``; from then on :func:`by_stack` finds it.

    Raises:
        OSError: The program cannot be started.
    """
    with log.open("ab") as sink:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env={**os.environ, **env},
            start_new_session=True,
        )
    started = start_time(child.pid)
    _children[child.pid] = child
    wait_until(lambda: child.poll() is not None or _has_environment(child.pid), EXEC_SECONDS)
    return Process(name=name, pid=child.pid, started=-1 if started is None else started)


def _has_environment(pid: int) -> bool:
    """Tell whether ``execve`` is over: in its middle a process has a name, and no environment yet."""
    try:
        return bool(Path(f"/proc/{pid}/environ").read_bytes())
    except OSError:
        return False


_children: Final[dict[int, "subprocess.Popen[bytes]"]] = {}
"""Children of this very process, which it must reap."""


def send(process: Process, which: signal.Signals) -> None:
    """Signal ``process`` if it still runs."""
    if process.alive:
        try:
            os.kill(process.pid, which)
        except ProcessLookupError:
            return


def unheard(_: str) -> None:
    """Tell nobody what is waited for."""


def stop(process: Process, on_wait: Callable[[str], None] = unheard) -> None:
    """End ``process``: SIGTERM, and SIGKILL when it takes too long; ``on_wait`` is told once that it does not.

    Raises:
        TimeoutError: Even SIGKILL did not end it: it hangs in the kernel.
    """
    send(process, signal.SIGCONT)
    send(process, signal.SIGTERM)
    if not wait_until(lambda: _gone(process), STOP_SECONDS, lambda: on_wait(f"{process.name} to end")):
        send(process, signal.SIGKILL)
        if not wait_until(lambda: _gone(process), KILL_SECONDS):
            raise TimeoutError(f"{process.name} (pid {process.pid}) does not end; it hangs in the kernel")


def kill(process: Process) -> None:
    """End ``process`` at once, as a crash would."""
    send(process, signal.SIGKILL)
    if not wait_until(lambda: _gone(process), KILL_SECONDS):
        raise TimeoutError(f"{process.name} (pid {process.pid}) does not end; it hangs in the kernel")


def _gone(process: Process) -> bool:
    child = _children.get(process.pid)
    if child is not None and child.poll() is not None:
        del _children[process.pid]
    return not process.alive


def wait_until(condition: Callable[[], bool], within: float, late: Callable[[], None] | None = None) -> bool:
    """Poll ``condition`` for at most ``within`` seconds; return its last value. ``late`` is called once, if need be."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > within:
            return False
        if late is not None and time.monotonic() - begun > SILENT_SECONDS:
            late()
            late = None
        time.sleep(POLL_SECONDS)
    return True


def parent(process: Process) -> int:
    """Return the pid of the parent of ``process``; 0 if there is no such process any more. Source: proc(5), stat."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[1])


def marked(directory: Path) -> list[Process]:
    """Return running processes of the stack in ``directory``, also those that no list knows."""
    return by_stack().get(str(directory), [])


def by_stack() -> dict[str, list[Process]]:
    """Return the running processes of all stacks of this machine, by directory."""
    found: dict[str, list[Process]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            name = (entry / "comm").read_text(errors="replace").strip()
        except OSError:
            continue
        started = start_time(int(entry.name))
        stacks = [os.fsdecode(each.partition(b"=")[2]) for each in environment if each.startswith(_MARKED)]
        if stacks and started is not None:
            found.setdefault(stacks[0], []).append(Process(name=name, pid=int(entry.name), started=started))
    return found
