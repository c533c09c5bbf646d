"""One piece of work per key at a time; a repeat of running work joins it."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

from directpv_common.calls.context import remaining, unhurried
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import Busy, DeadlineExceeded

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs work in tasks of its own, so that a caller that goes away leaves no half-done effect.

    The first caller of a key starts the work; callers with the same ``request`` wait for its result;
    a caller with another request for the key gets :class:`Busy`.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, tuple[Any, asyncio.Task[T]]] = {}

    async def run(self, key: Hashable, request: object, work: Callable[[], Awaitable[T]]) -> T:
        """Return what ``work()`` returns, for this caller or for the one that came first.

        Cancelling the caller does not cancel the work. The work has no deadline but its own limits; each caller waits
        until its own deadline.

        Raises:
            Busy: Work for ``key`` with another request is running.
            DeadlineExceeded: The caller waits no longer; the work goes on.
        """
        running = self._running.get(key)
        if running is None:
            task = asyncio.get_running_loop().create_task(self._do(key, work), context=unhurried())
            task.add_done_callback(_retrieve)
            self._running[key] = (request, task)
        elif running[0] == request:
            task = running[1]
        else:
            raise Busy(f"{key}: another operation is running on it; repeat when it has ended")
        return await _waited(task)

    async def _do(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await work()
        finally:
            del self._running[key]

    async def drain(self) -> None:
        """Wait until all running work has ended, well or not."""
        await asyncio.gather(*(task for _, task in self._running.values()), return_exceptions=True)


async def _waited(task: asyncio.Task[T]) -> T:
    limit = remaining(math.inf)
    if math.isinf(limit):
        return await asyncio.shield(task)
    try:
        async with timeout(limit) as scope:
            return await asyncio.shield(task)
    except TimeoutError:
        if scope.expired():
            raise DeadlineExceeded("the work goes on, but its caller waits no longer; repeat to join it") from None
        raise


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Look at the outcome, so that work whose callers all went away does not log a lost exception."""
    if not task.cancelled():
        task.exception()
