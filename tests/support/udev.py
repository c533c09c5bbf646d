"""A real udevd: the machine's own if it has one, else one that the first run of tests starts and the last one ends."""

import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from directpv_cli.local.machine import udevd
from directpv_cli.local.machine.disks import command
from directpv_cli.local.machine.processes import start_time, wait_until

READY_SECONDS = 60.0
_USERS = Path("/run/directpv-tests-udevd.users")
"""Locked by each run for as long as it needs udevd; holds process id and start time of the one that we started."""


@contextlib.contextmanager
def running_udevd() -> Iterator[None]:
    """Have a udevd while the block runs; any number of processes may do so at the same time."""
    with _USERS.open("a+") as users:
        with udevd.gate():
            if not udevd.runs():
                _start(users)
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield
        finally:
            with udevd.gate():
                _end_if_last(users)


_own: "list[subprocess.Popen[bytes]]" = []
"""What this process has started: it must be waited for."""


def _start(users: IO[str]) -> None:
    daemon = subprocess.Popen(
        [udevd.to_start()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    _own.append(daemon)
    users.truncate(0)
    users.write(f"{daemon.pid} {start_time(daemon.pid)}")
    users.flush()
    assert wait_until(udevd.runs, READY_SECONDS), "udevd does not start"
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
