"""A real udevd: the machine's own if it has one, else one that the tests start and end."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from directpv_cli.local.disks import DiskError, command
from directpv_cli.local.processes import wait_until

PROGRAM = Path("/lib/systemd/systemd-udevd")
READY_SECONDS = 20.0


def answers() -> bool:
    """Tell whether a udevd runs."""
    try:
        command("udevadm", "control", "--ping", "--timeout=2")
    except DiskError:
        return False
    return True


@contextlib.contextmanager
def running_udevd() -> Iterator[None]:
    """Have a udevd while the block runs."""
    if answers():
        yield
        return
    daemon = subprocess.Popen([PROGRAM], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(answers, READY_SECONDS), "udevd does not answer"
        command("udevadm", "settle", "--timeout=20")
        yield
    finally:
        daemon.terminate()
        daemon.wait(READY_SECONDS)
