"""A suite or a step that runs: a process at a time, in a session of its own, with its output in a file."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from suites.progress import VARIABLE
from suites.table import Command

ENDING: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""What interrupts a run."""
END_SECONDS: Final = 60.0
"""What a job that is interrupted has for cleaning up, before it is killed."""


class Job:
    """Start it, and :meth:`look` from time to time until :attr:`status` is there."""

    def __init__(
        self, name: str, commands: Sequence[Command], log: Path, limit: float, *,
        grace: float = END_SECONDS,
    ) -> None:  # fmt: skip
        """Describe a job that is not started yet.

        Args:
            name: Of the suite or step.
            commands: Run one after the other, all of them; the job fails with the first that fails.
            log: For all output.
            limit: Seconds after which it is interrupted.
            grace: Seconds from the interrupt until it is killed.
        """
        self.name, self.log, self.limit = name, log, limit
        self.status: int | None = None
        """Exit status, once it has ended."""
        self.tests = len(commands)
        """How many there are; commands, if they tell of no tests."""
        self.results: Counter[str] = Counter()
        """Tests (or commands) that ended: passed, failed, skipped."""
        self.failures: list[str] = []
        """Tests that failed."""
        self.cpu = 0.0
        """Seconds, user and system, of all processes that were waited for."""
        self.late = False
        self._commands, self._grace = list(commands), grace
        self._notes, self._read, self._tells = log.with_suffix(".progress"), 0, False
        self._worst = 0
        self._began = self._ended = self._interrupted = 0.0

    @property
    def seconds(self) -> float:
        """How long it has run, or ran."""
        return (self._ended or time.monotonic()) - self._began

    @property
    def done(self) -> int:
        """Tests that have ended."""
        return self.results.total()

    def start(self, environment: Mapping[str, str]) -> None:
        """Start the first command."""
        self._environment = {**environment, VARIABLE: str(self._notes)}
        self._began = time.monotonic()
        with unbroken():  # who interrupts it must find a process
            self.log.write_bytes(b"")
            self._notes.write_bytes(b"")
            self._next()

    def _next(self) -> None:
        command = ("setpriv", "--pdeathsig", "INT", "--", *self._commands.pop(0))  # it ends with this process
        with unbroken(), self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )

    def look(self) -> None:
        """See how far it is."""
        self._read_notes()
        if self.status is not None:
            return
        pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
        if pid:
            self.cpu += usage.ru_utime + usage.ru_stime
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self._command_ended(self._process.returncode)
        elif not self._interrupted and self.seconds > self.limit:
            self.late = True
            self.interrupt()
        elif self._interrupted and time.monotonic() > self._interrupted + self._grace:
            self.signal(signal.SIGKILL)

    def _command_ended(self, code: int) -> None:
        self._read_notes()
        if not self._tells:
            self.results["failed" if code else "passed"] += 1
        self._worst = self._worst or code
        if self._commands and not self._interrupted:
            self._next()
            return
        self.status = self._worst or (1 if self._interrupted else 0)
        self._ended = time.monotonic()
        self._notes.unlink()

    def interrupt(self) -> None:
        """Have it clean up and end."""
        self._interrupted = time.monotonic()
        self.signal(signal.SIGINT)

    def signal(self, which: signal.Signals) -> None:
        """Send a signal to all processes of the job's session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, which)

    def _read_notes(self) -> None:
        with contextlib.suppress(FileNotFoundError), self._notes.open() as file:
            file.seek(self._read)
            for line in iter(file.readline, ""):
                if not line.endswith("\n"):
                    break
                self._read += len(line)
                self._take(json.loads(line))

    def _take(self, note: dict[str, str]) -> None:
        self._tells = True
        if "tests" in note:
            self.tests = int(note["tests"])
            return
        self.results[note["result"]] += 1
        if note["result"] == "failed":
            self.failures.append(note["test"])


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """Have whoever interrupts this process wait until the block has ended."""
    waiting: list[int] = []
    before = {which: signal.signal(which, lambda which, _: waiting.append(which)) for which in ENDING}
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
    for which in waiting:
        signal.raise_signal(which)
