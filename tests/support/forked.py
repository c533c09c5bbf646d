"""Our programs in processes forked from one that has imported them already.

To import what a program needs takes longer than most tests do. Each is a process of its own all the same: with its own
arguments, environment, folder, session, and files for input and output, it begins where the console script begins, and
ends as an interpreter ends. For what a test says of the program's own start (its imports, its name, a terminal, a
locale), start it; so do ``directpv up`` and all guests.
"""

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

from support import forking

_READY_SECONDS: Final = 60.0
_END_SECONDS: Final = 20.0


class Forked:
    """A program that runs; has the names of :class:`subprocess.Popen`."""

    def __init__(
        self,
        program: str,
        *argv: str,
        env: Mapping[str, str],
        stdout: IO[Any],
        stderr: IO[Any],
        cwd: Path | None = None,
    ) -> None:
        self.args = [program, *argv]
        self.returncode: int | None = None
        self._read = b""
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.settimeout(_READY_SECONDS)
        self._connection.connect(_server(program))
        asked = {"argv": argv, "env": dict(env), "cwd": str(cwd or Path.cwd())}
        with Path(os.devnull).open() as nothing:
            fds = [nothing.fileno(), stdout.fileno(), stderr.fileno()]
            socket.send_fds(self._connection, [json.dumps(asked).encode() + b"\n"], fds)
        self.pid = int(self._line())
        self._handle: int | None = None
        """Of the process: its number may be another's as soon as it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._handle = os.pidfd_open(self.pid)

    def poll(self) -> int | None:
        """Return how it ended; None: it has not."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Return how it ended.

        Raises:
            TimeoutExpired: It has not.
        """
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                self.returncode = int(self._line())
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
            self._connection.close()
            if self._handle is not None:
                os.close(self._handle)
        return self.returncode

    def _line(self) -> bytes:
        """Read to the end of a line; what is there of one stays, if no more comes in time."""
        while b"\n" not in self._read:
            part = self._connection.recv(16)
            assert part, "what forks has gone"
            self._read += part
        line, _, self._read = self._read.partition(b"\n")
        return line

    def send_signal(self, which: int) -> None:
        """Send a signal, if it runs."""
        if self._handle is not None and self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, which)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def run(
    program: str, *argv: str, env: Mapping[str, str], within: float, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program, and return what it said.

    Raises:
        TimeoutExpired: It did not end in time, and was killed.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = Forked(program, *argv, env=env, stdout=out, stderr=err, cwd=cwd)
        try:
            code = process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_END_SECONDS)
            raise
        said = [_all_of(file) for file in (out, err)]
    return subprocess.CompletedProcess([program, *argv], code, *said)


def _all_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@cache
def _server(program: str) -> str:
    """Start the process that forks, once; it ends with this one. Return the address at which it listens.

    Its environment names no stack: it would be taken for one of its processes.
    """
    address = f"\0directpv-forked-{os.getpid()}-{os.urandom(4).hex()}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(64)
        mine, its = socket.socketpair()
        with its:
            numbers = [listening.fileno(), its.fileno()]
            process = subprocess.Popen(
                [sys.executable, "-P", forking.__file__, program, *map(str, numbers)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=numbers, start_new_session=True,
                env={name: value for name, value in os.environ.items() if not name.startswith("DIRECTPV_")},
            )  # fmt: skip
    atexit.register(_end, mine, process)
    return address


def _end(mine: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    mine.close()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
