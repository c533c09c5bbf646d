"""Those about whom Kubernetes is asked: each in a task of his own, no more than there are places, some at a time."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import NamedTuple

from directpv_controller.admission.core.shares import Shares

log = logging.getLogger(__name__)


class Crowd(NamedTuple):
    """How many may wait, and be asked about."""

    for_all: int
    for_each: int
    at_once: int
    """Questions to Kubernetes: whoever knocks must not keep it busy."""


class Asking:
    """One crowd; who finds no place in it is not waited for."""

    def __init__(self, crowd: Crowd) -> None:
        self._shares = Shares(crowd.for_all, crowd.for_each)
        self.turns = asyncio.Semaphore(crowd.at_once)
        """To be held while Kubernetes is asked."""
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, who: str, work: Coroutine[None, None, None]) -> bool:
        """Have ``work`` done for one who asks; False: there is no place for him, and it is not."""
        if not self._shares.take(who):
            work.close()
            return False
        task = asyncio.create_task(self._run(who, work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return True

    async def end(self) -> None:
        """Cancel what runs."""
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self, who: str, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Exception:
            log.exception("not answered")
        finally:
            self._shares.give(who)
