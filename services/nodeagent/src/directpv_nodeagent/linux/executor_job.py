"""One call on a thread of a drive, and the words for what can become of it; a part of :mod:`.executor`."""

import asyncio
import contextvars
import enum
from collections.abc import Callable
from typing import Any

from directpv_common.protocol.errors import DriveFault


class State(enum.Enum):
    """Where a job stands."""

    QUEUED = enum.auto()
    RUNNING = enum.auto()
    DONE = enum.auto()
    DROPPED = enum.auto()
    ABANDONED = enum.auto()


class Job:
    """One call of ``fn``; ``done`` is called in the worker's thread, once, unless it did not begin."""

    __slots__ = ("began", "context", "done", "error", "fn", "result", "state", "what")

    def __init__(self, fn: Callable[[], Any], what: str, done: Callable[[], None]) -> None:
        self.fn = fn
        self.what = what
        self.done = done
        self.context = contextvars.copy_context()
        self.state = State.QUEUED
        self.began = False
        """Set in the worker's thread; stays so whatever becomes of the job."""
        self.result: Any = None
        self.error: BaseException | None = None

    @property
    def outcome(self) -> Any:
        """What ``fn`` returned or raised."""
        return self.result if self.error is None else self.error

    def tell(self) -> None:
        """Call ``done`` and forget it, so that job and caller do not keep each other alive."""
        done, self.done = self.done, nothing
        done()


def resolve(waiter: "asyncio.Future[Any]", job: Job) -> None:
    """Give the outcome of ``job`` to the one who waits for it."""
    if isinstance(job.error, StopIteration):  # futures refuse it, and the caller would wait for ever
        waiter.set_exception(RuntimeError(f"{job.what} raised StopIteration"))
    elif job.error is not None:
        waiter.set_exception(job.error)
    else:
        waiter.set_result(job.result)


def nothing() -> None:
    """Stand in for a callback that was called, or that nobody needs."""


def name_of(fn: Callable[..., Any]) -> str:
    """Return what to call ``fn`` in a message for people."""
    return str(getattr(getattr(fn, "func", fn), "__name__", "operation")).strip("_<>").replace("_", " ")


class Hangs(DriveFault):
    """An operation did not end in time, or was not tried since earlier ones have not: nothing is known but that."""


class Queued(Hangs):
    """An operation did not even begin in time: others took the threads, which says nothing of the device."""


def too_late(key: str, what: str, within: float, state: State) -> Hangs:
    """Return the error for a job that was given up in ``state``."""
    if state is State.DROPPED:
        return Queued(f"{key}: {what} could not begin within {within:g} s: earlier operations on it have not ended")
    return Hangs(f"{key}: {what} did not end within {within:g} s: the device does not answer")


def refused(key: str, what: str, stuck: int) -> Hangs:
    """Return the error for a job that was not begun, since ``stuck`` others hang."""
    return Hangs(f"{key}: {what} was not tried: {stuck} earlier operations hang in the kernel; check the device")
