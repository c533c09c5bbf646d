"""How a service starts, stops and drains: resources in the exit stack, activities in the task group inside it."""

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Final, NoReturn

from directpv_common.calls.scopes import task_group, timeout

log = logging.getLogger(__name__)


COLLECT_AFTER: Final = (10_000, 20, 50)
"""Python's default is made for short scripts: every 700 new objects."""


class Stop(Exception):
    """Raised inside a service's task group to end it without error."""


async def stop_on_signal(*signals: signal.Signals) -> NoReturn:
    """Wait for one of ``signals``, then raise :class:`Stop`.

    The handlers are removed on the first signal, so a second one acts as the
    operating system would: the operator's way out of a stuck drain.
    """
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[signal.Signals] = loop.create_future()

    def resolve(which: signal.Signals) -> None:
        if not arrived.done():
            arrived.set_result(which)

    for which in signals:
        loop.add_signal_handler(which, resolve, which)
    try:
        received = await arrived
    finally:
        for which in signals:
            loop.remove_signal_handler(which)
    raise Stop(received.name)


def run(service: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run ``service`` until it stops; a signal ends it cleanly, a fault raises."""
    # What imports left behind lives as long as the process: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        asyncio.run(service())
    except* Stop as stopped:
        log.info("stopped", extra={"reason": str(stopped.exceptions[0])})


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Yield what a group holds, in groups of its own or not."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


class InFlight:
    """Counts running calls, so that a server can be closed when there are none."""

    def __init__(self) -> None:
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def running(self) -> int:
        """Calls that have begun and not ended."""
        return self._running

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """Count one call while the block runs."""
        self._running += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def drain(self, within: float) -> bool:
        """Wait at most ``within`` seconds until nothing runs; tell whether that was reached."""
        try:
            async with timeout(within):
                await self._idle.wait()
        except TimeoutError:
            log.warning("drain gave up", extra={"running": self._running, "seconds": within})
            return False
        return True


@contextlib.asynccontextmanager
async def background(*coroutines: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run ``coroutines`` beside the block; end them with it. One that fails fails the block."""
    async with task_group() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
