"""Processes that a benchmark starts and ends."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

START_SECONDS = 60


@contextlib.contextmanager
def program(
    *argv: str, env: Mapping[str, str] | None = None, log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``argv`` while the block runs."""
    with (log or Path(os.devnull)).open("ab") as sink:
        child = subprocess.Popen(argv, env={**os.environ, **(env or {})}, stdout=sink, stderr=sink)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGCONT)
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(10)


def python(module: str, *argv: str) -> list[str]:
    """Return the command that runs ``module``."""
    return [sys.executable, "-m", module, *argv]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Poll until ``condition``, at most a minute."""
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.002)


def listens(path: str) -> bool:
    """Tell whether somebody accepts on the unix socket ``path``."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        return True
    return False


def resident(pid: int) -> int:
    """Bytes of memory that the process occupies."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far. Source: proc(5), fields 14 and 15 of ``stat``."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
