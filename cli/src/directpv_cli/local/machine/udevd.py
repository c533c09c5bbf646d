"""The machine's udevd, or one that we start where none runs: two of them beside each other spoil both.

A udevd that is busy does not answer ``udevadm control --ping`` for seconds; its socket tells at once that it is there.
"""

import contextlib
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from directpv_cli.local.machine.processes import wait_until

PROGRAMS: Final = ("/lib/systemd/systemd-udevd", "/usr/lib/systemd/systemd-udevd")
START_SECONDS: Final = 60.0
_CONTROL: Final = "/run/udev/control"
_FORMER: Final = Path("/run/udev/watch.old")
"""Watches of the udevd before the last one. Where ``/run`` is on a disk, as in a container, udevd refuses to take it
away, keeps the last one's watches in place of its own, and no longer notices who writes to a device.
Source: systemd 252, ``udev_watch_restore`` and ``rm_rf``."""
_GATE: Final = "/run/directpv-udevd.gate"


def runs() -> bool:
    """Tell whether a udevd runs, or systemd starts one for whoever asks."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as control:
        control.setblocking(False)
        try:
            control.connect(_CONTROL)
        except BlockingIOError:  # so many wait for it already
            return True
        except OSError:
            return False
    return True


@contextlib.contextmanager
def gate() -> Iterator[None]:
    """Let one process at a time look whether a udevd runs, and start or end one.

    Raises:
        TimeoutError: Another one has been at it for longer than a start takes.
    """
    descriptor = os.open(_GATE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if not wait_until(lambda: _is_locked(descriptor), 2 * START_SECONDS):
            raise TimeoutError(f"another program holds {_GATE}: it starts or ends udevd; find it with fuser {_GATE}")
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def to_start() -> str:
    """Make ready for a udevd, and return its program; one that is started notices who writes to a device.

    Raises:
        FileNotFoundError: There is none.
    """
    program = next(filter(os.path.exists, PROGRAMS), None)
    if program is None:
        raise FileNotFoundError(f"none of {', '.join(PROGRAMS)} is there; install the package udev")
    shutil.rmtree(_FORMER, ignore_errors=True)
    return program
