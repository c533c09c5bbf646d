"""``asyncio.timeout`` and ``asyncio.TaskGroup`` as Python documents them, on Debian 12's Python 3.11.2, too.

There a timeout within a task that is marked as cancelled ends as a cancellation, not as TimeoutError: what closes
things in time while a service stops would end in the middle. And up to Python 3.12 a group whose child fails while its
block is over already leaves such a mark behind for good. Source: CPython issues 95761 and 117407; tried with 3.11.2.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from types import TracebackType

_Group = asyncio.TaskGroup  # noqa: TID251 - here it is made what it should be


class _Timeout:
    __slots__ = ("_before", "_scope")

    def __init__(self, seconds: float | None) -> None:
        self._scope = asyncio.timeout(seconds)  # noqa: TID251 - as above
        self._before = 0

    async def __aenter__(self) -> asyncio.Timeout:
        self._before = _marks()
        return await self._scope.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._scope.__aexit__(kind, error, trace)
        if kind is asyncio.CancelledError and self._scope.expired() and _marks() <= self._before:
            raise TimeoutError from error


def timeout(seconds: float | None) -> _Timeout:
    """Raise TimeoutError in the ``async with`` block after ``seconds``; None: never. Gives an ``asyncio.Timeout``."""
    return _Timeout(seconds)


@contextlib.asynccontextmanager
async def task_group(group: _Group | None = None) -> AsyncIterator[_Group]:
    """Run the block as ``asyncio.TaskGroup`` does, and leave no mark of it on the task that runs the block.

    A cancellation from outside that comes while children fail is not lost, as it is up to Python 3.12: whoever goes on
    after the failure is cancelled at his next wait.

    Args:
        group: One that was made before, for others to start tasks in.
    """
    before, asked = _marks(), False
    made = group or _Group()
    try:
        async with made as running:
            try:
                yield running
            finally:
                asked = _has_asked(made)
    except BaseExceptionGroup:
        if _has_asked(made) and not asked and _marks() > before and sys.version_info < (3, 13):
            _current().uncancel()  # the group's own: it asked after its block was over
        if _marks() > before:
            _current().uncancel()
            _current().cancel()
        raise


def _has_asked(group: _Group) -> bool:
    """Tell whether the group has cancelled the task that runs its block; CPython keeps that to itself."""
    return bool(getattr(group, "_parent_cancel_requested", False))


def _current() -> "asyncio.Task[object]":
    task = asyncio.current_task()
    assert task is not None
    return task


def _marks() -> int:
    return _current().cancelling()
