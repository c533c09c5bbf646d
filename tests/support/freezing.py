"""Leaders that hang, by SIGSTOP: not within a commit, where they would keep SQLite's lock, and nobody could follow."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from directpv_controller.registry.sqlite.lock_holder import writer_of

WITHIN = 30.0


def freeze(pid: int, registry: Path) -> None:
    """Stop process ``pid``, which may have ``registry`` open, at a moment in which it does not write to it."""
    deadline = time.monotonic() + WITHIN
    while True:
        os.kill(pid, signal.SIGSTOP)
        _wait(lambda: _state(pid) in "TZX", deadline, f"process {pid} stops")
        if writer_of(registry) != pid:
            return
        os.kill(pid, signal.SIGCONT)
        assert time.monotonic() < deadline, f"process {pid} writes to {registry} all the time"
        time.sleep(0.02)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _wait(condition: Callable[[], bool], deadline: float, what: str) -> None:
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.001)
