"""One run of several suites: steps in the background, suites side by side, results at the end."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from suites.folder import own_folder
from suites.job import ENDING, Job, unbroken
from suites.memory import Memory
from suites.plan import Load, startable, time_left
from suites.show import Picture, Row, Show, clock, final_table
from suites.table import STEPS, Step, Suite

TOP: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = TOP / ".cache" / "suites"
_TICK_SECONDS: Final = 0.5
_LEAST_LIMIT: Final = 900.0


class Run:
    """Everything that is there to be done, and how far it is."""

    def __init__(
        self, suites: Sequence[Suite], steps: Sequence[Step] = STEPS, *, everything: bool, show: Show, cores: float,
        folder: Path = FOLDER,
    ) -> None:  # fmt: skip
        """Plan a run.

        Args:
            suites: In this order, as far as processors and steps allow it.
            steps: Those that a suite needs are done in this order.
            everything: With tests that are marked ``long``.
            show: What a person sees.
            cores: Processors.
            folder: For all output.
        """
        self._lock, self._folder = own_folder(folder)
        self._suites, self._everything, self._show, self._cores = suites, everything, show, cores
        self._memory = Memory(self._folder / "seconds.json", "all" if everything else "test")
        self._steps = [step for step in steps if any(step.name in suite.needs for suite in suites)]
        self._jobs: dict[str, Job] = {}
        self._told: set[str] = set()
        self._began = time.monotonic()
        self._environment = {**os.environ, "KUBECONFIG": ""}  # a cluster that somebody lends is for `make e2e`

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began

    # ---- from start to end --------------------------------------------------------------------------------------

    def go(self) -> bool:
        """Run everything; tell whether all is well."""
        with self._lock:
            try:
                with self._show:
                    while not self._has_ended():
                        self._advance()
                        self._show.update(self._picture())
                        time.sleep(_TICK_SECONDS)
            finally:
                self._end_all()
            self._report()
        return all(self._is_well(suite) for suite in self._suites)

    def _has_ended(self) -> bool:
        return all(self._job_ended(suite.name) or self._missing(suite) for suite in self._suites)

    def _advance(self) -> None:
        for job in list(self._jobs.values()):
            job.look()
            self._tell(job)
        self._start_step()
        for load in startable(self._waiting(), self._running(), self._ready(), self._cores):
            self._start_suite(next(suite for suite in self._suites if suite.name == load.name))

    def _start_step(self) -> None:
        if any(not self._job_ended(step.name) for step in self._steps if step.name in self._jobs):
            return
        for step in self._steps:
            if step.name not in self._jobs:
                self._start(Job(step.name, step.commands, self._folder / f"{step.name}.log", _limit(step.seconds)))
                return

    def _start_suite(self, suite: Suite) -> None:
        seconds = self._expected(suite)
        self._start(Job(suite.name, self._commands(suite), self._folder / f"{suite.name}.log", _limit(seconds)))
        self._show.say(self.seconds, f"{suite.name} begins: {suite.proves}; about {clock(seconds)}")

    def _start(self, job: Job) -> None:
        with unbroken():
            self._jobs[job.name] = job
            job.start(self._environment)

    def _commands(self, suite: Suite) -> list[tuple[str, ...]]:
        if self._everything or not suite.has_long:
            return list(suite.commands)
        return [(*command, "-m", "not long") for command in suite.commands]

    def _end_all(self) -> None:
        """End what still runs: it has a while to clean up, a second interrupt kills it."""
        running = [job for job in self._jobs.values() if job.status is None]
        for job in running:
            job.interrupt()
        try:
            while any(job.status is None for job in running):
                for job in running:
                    job.look()
                time.sleep(_TICK_SECONDS / 5)
        except KeyboardInterrupt:
            for job in running:
                job.signal(signal.SIGKILL)
            raise

    # ---- how it stands ------------------------------------------------------------------------------------------

    def _job_ended(self, name: str) -> bool:
        return name in self._jobs and self._jobs[name].status is not None

    def _ready(self) -> set[str]:
        return {"devices"} | {
            step.name for step in self._steps if self._job_ended(step.name) and not self._failed(step)
        }

    def _failed(self, what: Step | Suite) -> bool:
        return self._job_ended(what.name) and self._jobs[what.name].status != 0

    def _missing(self, suite: Suite) -> list[Step]:
        """Return the steps that it needs and that failed."""
        return [step for step in self._steps if step.name in suite.needs and self._failed(step)]

    def _is_well(self, suite: Suite) -> bool:
        return self._job_ended(suite.name) and not self._failed(suite)

    def _expected(self, suite: Suite) -> float:
        return self._memory.seconds(suite.name, suite.long_seconds if self._everything else suite.seconds)

    def _left(self, suite: Suite) -> float:
        """Return seconds that a suite still takes: as the last time at first, by its tests when a quarter has ended."""
        job, expected = self._jobs.get(suite.name), self._expected(suite)
        if job is None:
            return expected
        share = job.done / job.tests if job.tests else 0.0
        by_tests = job.seconds / share - job.seconds if share else expected
        trust = min(1.0, 4 * share)
        return max(1.0, trust * by_tests + (1 - trust) * (expected - job.seconds))

    def _load(self, suite: Suite) -> Load:
        return Load(suite.name, self._left(suite), suite.cores, suite.needs, suite.behind)

    def _waiting(self) -> list[Load]:
        return [
            self._load(suite) for suite in self._suites if suite.name not in self._jobs and not self._missing(suite)
        ]

    def _running(self) -> list[Load]:
        names = {name for name in self._jobs if not self._job_ended(name)}
        return [self._load(suite) for suite in self._suites if suite.name in names]

    def _steps_left(self) -> list[Load]:
        left = []
        for step in self._steps:
            if not self._job_ended(step.name):
                gone = self._jobs[step.name].seconds if step.name in self._jobs else 0.0
                left.append(Load(step.name, max(1.0, self._memory.seconds(step.name, step.seconds) - gone)))
        return left

    def _picture(self) -> Picture:
        left = time_left(self._waiting(), self._running(), self._steps_left(), self._ready(), self._cores)
        steps = [step for step in self._steps if step.name in self._jobs and not self._job_ended(step.name)]
        background = "".join(f"{step.does} ({clock(self._jobs[step.name].seconds)})" for step in steps)
        return Picture([self._row(suite) for suite in self._suites], background, self.seconds, left)

    def _row(self, suite: Suite) -> Row:
        job = self._jobs.get(suite.name)
        if job is None:
            missing = self._missing(suite)
            return Row(suite.name, suite.proves, f"not run: {missing[0].name} failed" if missing else "waiting")
        state = "running" if job.status is None else _verdict(job)
        return Row(suite.name, suite.proves, state, job.done, job.tests, job.seconds, self._left(suite))

    # ---- what is told -------------------------------------------------------------------------------------------

    def _tell(self, job: Job) -> None:
        for test in job.failures:
            if test not in self._told:
                self._told.add(test)
                self._show.say(self.seconds, f"{job.name}: FAILED {test}")
        if job.status is None or job.name in self._told:
            return
        self._told.add(job.name)
        if job.status == 0:
            self._memory.keep(job.name, job.seconds)
        is_suite = any(suite.name == job.name for suite in self._suites)
        what = f"{job.tests} tests, {_verdict(job)}" if is_suite else "ready" if job.status == 0 else "failed"
        self._show.say(self.seconds, f"{job.name} took {clock(job.seconds)} (processors: {clock(job.cpu)}): {what}")

    def _report(self) -> None:
        bad = [job for job in self._jobs.values() if job.status != 0]
        for job in bad:
            self._show.console.rule(f"{job.name}: all of its output", characters="=")
            with job.log.open(errors="replace") as log:
                for line in log:
                    self._show.console.out(line, end="", highlight=False)
        self._show.console.print()
        self._show.console.print(final_table([self._row(suite) for suite in self._suites]))
        self._show.console.print(f"{'failed' if bad else 'all passed'} in {clock(self.seconds)} min", highlight=False)
        for job in bad:
            self._show.console.print(f"{job.name}: see above, or {os.path.relpath(job.log)}", highlight=False)
            for test in job.failures:  # again, as the last lines: they are what is left of a log that was cut short
                self._show.console.print(f"  FAILED {test}", markup=False, soft_wrap=True, highlight=False)


def _verdict(job: Job) -> str:
    if job.late:
        return f"ended after {clock(job.limit)}: too slow"
    skipped = f", {job.results['skipped']} skipped" if job.results["skipped"] else ""
    if job.status == 0:
        return f"ok{skipped}"
    return f"{job.results['failed']} failed{skipped}" if job.results["failed"] else f"exit status {job.status}"


def _limit(expected: float) -> float:
    return _LEAST_LIMIT + 4 * expected


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end the run as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for which in ENDING:
        signal.signal(which, interrupt)
    yield
