"""Threads for blocking work on drives: a few per drive, so that one which hangs in the kernel costs that drive alone.

    submitted ──► queued ──► running ──► done
                    │           │
         deadline   ▼           ▼   deadline
                 dropped    abandoned ──► returns one day: the drive may be tried again

The threads are daemons outside of :mod:`concurrent.futures`, whose threads are waited for when Python exits.
"""

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from math import inf
from time import monotonic
from typing import Final, TypeVar

from directpv_common.protocol.errors import DriveFault
from directpv_nodeagent.linux.executor_job import Job, State, name_of, nothing, refused, resolve, too_late

log = logging.getLogger(__name__)
T = TypeVar("T")

WIDTH: Final = 4
"""Operations that run at once on one drive: enough to let their disk flushes overlap."""
STUCK_LIMIT: Final = 4
IDLE_SECONDS: Final = 30.0
"""A thread without work ends after so long."""


class _Lane:
    """Threads and work of one key; guarded by the lock of :class:`DriveExecutors`."""

    __slots__ = ("idle", "jobs", "pending", "stuck", "threads")

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self.threads = 0
        self.idle = 0
        self.pending = 0
        self.stuck = 0


class DriveExecutors:
    """Runs blocking functions, each on a thread that belongs to its key: a drive or a device."""

    def __init__(self, *, width: int = WIDTH, stuck_limit: int = STUCK_LIMIT) -> None:
        """Take limits, both per key.

        Args:
            width: Operations at once.
            stuck_limit: So many threads abandoned in the kernel, and the key is refused until one returns.
        """
        self._width = width
        self._limit = stuck_limit
        self._lanes: dict[str, _Lane] = {}
        self._lock = threading.Lock()

    @property
    def stuck(self) -> dict[str, int]:
        """Threads per key that were abandoned and have not returned; keys without are left out."""
        with self._lock:
            return {key: lane.stuck for key, lane in self._lanes.items() if lane.stuck}

    async def run(
        self,
        key: str,
        fn: Callable[[], T],
        within: float,
        what: str = "",
        *,
        progress: Callable[[], object] | None = None,
        at_most: float = inf,
        returned: Callable[[], None] = nothing,
    ) -> T:
        """Return ``fn()``, called in a thread of ``key``; raises what it raises.

        Cancelling the caller drops the work if it has not begun, and lets it end unseen if it has.

        Args:
            key: The drive or device, as error messages shall name it.
            fn: Blocking; must not touch asyncio.
            within: Seconds, waiting for a thread included.
            what: The operation, in words for the error message; the function's name by default.
            progress: Returns something that differs as long as the device works. Late is not dead then: time is over
                after ``within`` seconds without a difference. Called in the event loop, so it may not block.
            at_most: Seconds that it may take all the same.
            returned: Called in the event loop once ``fn`` has really ended, before its outcome is here; of one that was
                given up, that may be long after. Never called of one that did not begin.

        Raises:
            DriveFault: It did not end in time (it may still take effect later), or too many operations hang already.
        """
        loop = asyncio.get_running_loop()
        end, seen = loop.time() + at_most, progress() if progress is not None else None
        waiter: asyncio.Future[T] = loop.create_future()
        timer: asyncio.TimerHandle

        def deliver() -> None:
            timer.cancel()
            if job.began:
                returned()
            if not waiter.done():
                resolve(waiter, job)

        def done() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
                loop.call_soon_threadsafe(deliver)

        def expire() -> None:
            nonlocal timer, seen
            now = progress() if progress is not None else None
            if now != seen and job.state is State.RUNNING and loop.time() < end:
                seen, timer = now, loop.call_later(min(within, end - loop.time()), expire)
                return
            state = self._give_up(key, job)
            if state is not State.DONE and not waiter.done():
                waiter.set_exception(too_late(key, job.what, within, state))

        job = Job(fn, what or name_of(fn), done)
        timer = loop.call_later(within, expire)
        try:
            self._submit(key, job)
            return await waiter
        finally:
            if self._drop(job):
                timer.cancel()

    def run_all(self, work: Mapping[str, Callable[[], T]], within: float, what: str) -> dict[str, T | BaseException]:
        """Call one function per key, all at once, and wait; for callers that are threads themselves.

        Returns:
            What each function returned or raised, under its key; :class:`DriveFault` for one that did not end
            ``within`` seconds, or was not tried since others hang.
        """
        finished: queue.SimpleQueue[str] = queue.SimpleQueue()
        outcome: dict[str, T | BaseException] = {}
        jobs: dict[str, Job] = {}
        for key, fn in work.items():
            jobs[key] = Job(fn, what, lambda key=key: finished.put(key))  # type: ignore[misc]
            try:
                self._submit(key, jobs[key])
            except DriveFault as error:
                outcome[key] = error
        end = monotonic() + within
        while len(outcome) < len(jobs):
            try:
                key = finished.get(timeout=max(end - monotonic(), 0.0))
            except queue.Empty:
                break
            outcome[key] = jobs[key].outcome
        for key in jobs.keys() - outcome.keys():
            state = self._give_up(key, jobs[key])
            outcome[key] = jobs[key].outcome if state is State.DONE else too_late(key, what, within, state)
        return outcome

    # ---- the caller's side ------------------------------------------------------------------------------------

    def _submit(self, key: str, job: Job) -> None:
        with self._lock:
            lane = self._lanes.setdefault(key, _Lane())
            if lane.stuck >= self._limit:
                raise refused(key, job.what, lane.stuck)
            lane.pending += 1
            lane.jobs.put(job)
            self._staff(key, lane)

    def _staff(self, key: str, lane: _Lane) -> None:
        """Start a thread if work waits for one; the lock is held."""
        if lane.pending > lane.idle and lane.threads < self._width:
            lane.threads += 1
            try:
                threading.Thread(target=self._work, args=(key, lane), daemon=True, name=f"drive-{key}").start()
            except RuntimeError as error:  # no more threads: the job waits for another one, or for its deadline
                lane.threads -= 1
                log.error("thread cannot be started", extra={"drive": key, "error": str(error)})

    def _drop(self, job: Job) -> bool:
        """Take back a job that has not begun; tell whether it is over in any way."""
        with self._lock:
            if job.state is State.QUEUED:
                job.state = State.DROPPED
            return job.state is not State.RUNNING

    def _give_up(self, key: str, job: Job) -> State:
        """Stop waiting for ``job`` at its deadline; its thread, if it has one, is replaced."""
        with self._lock:
            if job.state is State.QUEUED:
                job.state = State.DROPPED
            elif job.state is State.RUNNING:
                job.state = State.ABANDONED
                lane = self._lanes[key]
                lane.stuck += 1
                lane.threads -= 1
                self._staff(key, lane)
                log.warning("operation hangs", extra={"drive": key, "operation": job.what, "stuck": lane.stuck})
            return job.state

    # ---- the worker's side ------------------------------------------------------------------------------------

    def _work(self, key: str, lane: _Lane) -> None:
        while (job := self._next(key, lane)) is not None:
            if self._begin(key, lane, job):
                try:
                    job.result = job.context.run(job.fn)
                except BaseException as error:
                    job.error = error
                goes_on = self._end(key, lane, job)
                job.tell()
                if not goes_on:
                    return
            del job

    def _next(self, key: str, lane: _Lane) -> Job | None:
        """Wait for work; None when there was none for long, and the thread is off the books."""
        with self._lock:
            lane.idle += 1
        while True:
            with contextlib.suppress(queue.Empty):
                job = lane.jobs.get(timeout=IDLE_SECONDS)
                with self._lock:
                    lane.idle -= 1
                    lane.pending -= 1
                return job
            with self._lock:
                if lane.pending:
                    continue
                lane.idle -= 1
                lane.threads -= 1
                self._forget(key, lane)
                return None

    def _begin(self, key: str, lane: _Lane, job: Job) -> bool:
        """Tell whether to run ``job``: not if it was dropped, nor if the key was refused since it was queued."""
        with self._lock:
            if job.state is not State.QUEUED:
                return False
            if lane.stuck < self._limit:
                job.state, job.began = State.RUNNING, True
                return True
            job.state = State.DONE
            job.error = refused(key, job.what, lane.stuck)
        job.tell()
        return False

    def _end(self, key: str, lane: _Lane, job: Job) -> bool:
        """Settle the books; False if this thread was replaced meanwhile and must end."""
        with self._lock:
            if job.state is State.RUNNING:
                job.state = State.DONE
                return True
            lane.stuck -= 1
            self._forget(key, lane)
        log.info("operation returned late", extra={"drive": key, "operation": job.what})
        return False

    def _forget(self, key: str, lane: _Lane) -> None:
        """Drop a lane that nobody uses; the lock is held."""
        if not (lane.threads or lane.stuck or lane.pending) and self._lanes.get(key) is lane:
            del self._lanes[key]
