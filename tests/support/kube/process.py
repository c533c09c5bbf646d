"""A program that tests start, kill, and start again, with its output in a file."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from support.guest import tether

END_SECONDS: Final = 20.0


class Program:
    """One process at a time, of one command line."""

    def __init__(self, name: str, command: Sequence[str | Path], log: Path) -> None:
        self.name, self.command, self.log = name, command, log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self, ready: Callable[[], bool], within: float) -> None:
        """Start it, and wait until ``ready()``."""
        with self.log.open("ab") as log:
            self._process = tether.start(
                self.command, stdout=log, stderr=log,
                env={"PATH": os.environ["PATH"], "HOME": str(self.log.parent)},
            )  # fmt: skip
        end = time.monotonic() + within
        while not ready():
            said = self.log.read_text(errors="replace")[-3000:]
            assert self._process.poll() is None, f"{self.name} ended:\n{said}"
            assert time.monotonic() < end, f"{self.name} is not ready after {within:.0f} s:\n{said}"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it as an administrator would; kill it if it does not end."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            tether.kill(self._process)
            self._process = None
