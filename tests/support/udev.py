"""A real udevd: the machine's own if it has one, else one that the first run of tests starts and the last one ends."""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from directpv_cli.local.machine.disks import command
from directpv_cli.local.machine.processes import start_time, wait_until

PROGRAM = Path("/lib/systemd/systemd-udevd")
READY_SECONDS = 20.0
_CONTROL = Path("/run/udev/control")
_FORMER = Path("/run/udev/watch.old")
"""Watches of the udevd before the last one. Where ``/run`` is on a disk, as in a container, udevd refuses to take it
away, keeps the last one's watches in place of its own, and no longer notices who writes to a device.
Source: systemd 252, ``udev_watch_restore`` and ``rm_rf``."""
_GATE = Path("/run/directpv-tests-udevd.gate")
_USERS = Path("/run/directpv-tests-udevd.users")
"""Locked by each run for as long as it needs udevd; holds process id and start time of the one that we started."""


def runs() -> bool:
    """Tell whether a udevd runs: it need not have time for an answer, for a second one beside it spoils both."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as control:
        control.setblocking(False)
        try:
            control.connect(str(_CONTROL))
        except BlockingIOError:  # so many wait for it already
            return True
        except OSError:
            return False
    return True


@contextlib.contextmanager
def running_udevd() -> Iterator[None]:
    """Have a udevd while the block runs; any number of processes may do so at the same time."""
    with _USERS.open("a+") as users:
        with _gate():
            if not runs():
                _start(users)
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield
        finally:
            with _gate():
                _end_if_last(users)


@contextlib.contextmanager
def _gate() -> Iterator[None]:
    """Let one process at a time look and decide."""
    with _GATE.open("a") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)  # held for the time of a start or an end
        yield


_own: "list[subprocess.Popen[bytes]]" = []
"""What this process has started: it must be waited for."""


def _start(users: IO[str]) -> None:
    shutil.rmtree(_FORMER, ignore_errors=True)
    daemon = subprocess.Popen([PROGRAM], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    _own.append(daemon)
    users.truncate(0)
    users.write(f"{daemon.pid} {start_time(daemon.pid)}")
    users.flush()
    assert wait_until(runs, READY_SECONDS), "udevd does not start"
    command("udevadm", "settle", "--timeout=20")


def _end_if_last(users: IO[str]) -> None:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    users.seek(0)
    if started := users.read().split():
        users.truncate(0)
        _end(int(started[0]), started[1])
    while _own:
        _reap(_own.pop())


def _reap(daemon: "subprocess.Popen[bytes]") -> None:
    """Wait for a udevd of our own, and end it, should nobody have told it to."""
    daemon.terminate()
    try:
        daemon.wait(READY_SECONDS)
    except subprocess.TimeoutExpired:  # its workers hang with their devices
        daemon.kill()
        daemon.wait()


def _end(pid: int, started: str) -> None:
    if str(start_time(pid)) == started:
        os.kill(pid, signal.SIGTERM)
        assert wait_until(lambda: str(start_time(pid)) != started, READY_SECONDS), "udevd does not end"
