"""Tells pages that something changed, without knowing who looks."""

import asyncio
import contextlib
from collections.abc import Iterator

from directpv_common.calls.scopes import timeout


class Listener:
    """One open stream; what changes while it is told of the last change is told once."""

    def __init__(self) -> None:
        self._topics: set[str] = set()
        self._news = asyncio.Event()

    def wake(self, topic: str = "") -> None:
        """Something of this topic changed; empty: nothing did."""
        if topic:
            self._topics.add(topic)
        self._news.set()

    async def news(self, within: float) -> list[str]:
        """Wait until something changed, or so many seconds; return what."""
        try:
            async with timeout(within):
                await self._news.wait()
        except TimeoutError:
            return []
        self._news.clear()
        topics, self._topics = sorted(self._topics), set()
        return topics


class Hub:
    """All streams that are open."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self.closed = False
        self.count = 0
        """Changes so far: a page that was made before the last of them is old."""

    @property
    def listeners(self) -> int:
        """How many streams are open."""
        return len(self._listeners)

    @contextlib.contextmanager
    def listening(self) -> Iterator[Listener]:
        """Be told of changes while the block runs."""
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def tell(self, topic: str) -> None:
        """Something of this topic changed."""
        self.count += 1
        for listener in self._listeners:
            listener.wake(topic)

    def close(self) -> None:
        """The console ends: every stream shall end."""
        self.closed = True
        for listener in self._listeners:
            listener.wake()
