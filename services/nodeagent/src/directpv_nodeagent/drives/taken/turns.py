"""Who works on which volume: one at a time, in order where that makes sense, and not before a hung thread is back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from directpv_common.protocol.errors import Busy
from directpv_nodeagent.linux.executor import DriveExecutors

T = TypeVar("T")

_QUEUES: Final = frozenset({"prepare", "purge", "renewal", "note"})
"""Short, and sent by nobody who would repeat them at once: they wait for their turn, and others wait for them."""
_LONG: Final = "move"
"""The last pass of a move: nobody waits for it, and who holds up others with what he has meanwhile least of all."""
_BY_TARGET: Final = frozenset({"publish", "unpublish"})


class Turn:
    """One operation's right to work on one volume."""

    def __init__(self, executors: DriveExecutors, kind: str, target: str) -> None:
        self.kind = kind
        self.target = target
        self._executors = executors
        self._hanging = 0
        self._release: Callable[[], None] | None = None

    def waits_for(self, other: "Turn") -> bool:
        """Tell whether this operation queues behind ``other``; if not, it is refused meanwhile."""
        if other.kind == _LONG:
            return False
        if self.kind in _QUEUES or other.kind in _QUEUES:
            return True
        return {self.kind, other.kind} <= _BY_TARGET and self.target != other.target

    async def run(
        self, key: str, fn: Callable[[], T], within: float, what: str, progress: Callable[[], object] | None = None
    ) -> T:
        """Call blocking ``fn`` in a thread of ``key``; the turn lasts until it has really ended.

        A call that was given up may still take effect: nobody else may work on the volume before.

        Raises:
            DriveFault: It did not end ``within`` seconds.
        """
        call = _Call()

        def watched() -> T:
            call.began = True
            return fn()

        try:
            return await self._executors.run(
                key, watched, within, what, progress=progress, returned=lambda: self._ended(call)
            )
        finally:
            if call.began and not call.ended:
                call.awaited = True
                self._hanging += 1

    def _ended(self, call: "_Call") -> None:
        call.ended = True
        if call.awaited:
            self._hanging -= 1
            if not self._hanging and self._release is not None:
                self._release()

    def end(self, release: Callable[[], None]) -> None:
        """Call ``release`` now, or when the last hanging thread is back."""
        if self._hanging:
            self._release = release
        else:
            release()


@dataclass
class _Call:
    began: bool = False
    ended: bool = False
    awaited: bool = False


@dataclass
class _Queue:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    members: list[Turn] = field(default_factory=list)


class Turns:
    """Hands out turns, per volume."""

    def __init__(self, executors: DriveExecutors) -> None:
        self._executors = executors
        self._queues: dict[str, _Queue] = {}

    @contextlib.asynccontextmanager
    async def take(self, *names: str, kind: str, target: str = "") -> AsyncIterator[Turn]:
        """Work on the volumes ``names`` while the block runs.

        Args:
            names: The volumes; locked in one order everywhere, so that two batches never wait for each other.
            kind: The operation.
            target: Where it publishes, if it does: different targets queue.

        Raises:
            Busy: Another operation works on one of the volumes, or waits to.
        """
        turn = Turn(self._executors, kind, target)
        held: list[str] = []
        try:
            for name in sorted(set(names)):
                await self._enter(name, turn)
                held.append(name)
            yield turn
        finally:
            turn.end(lambda: self._finish(held, turn))

    def running(self, *names: str) -> list[str]:
        """Return in words which operations on ``names`` have begun, or wait."""
        return [
            f"{turn.kind} of {name}" for name in names if name in self._queues for turn in self._queues[name].members
        ]

    async def _enter(self, name: str, turn: Turn) -> None:
        queue = self._queues.setdefault(name, _Queue())
        blocking = next((other for other in queue.members if not turn.waits_for(other)), None)
        if blocking is not None:
            raise Busy(f"{name}: {blocking.kind} is running on it; repeat {turn.kind} when it has ended")
        queue.members.append(turn)
        try:
            await queue.lock.acquire()
        except BaseException:
            self._leave(name, turn)
            raise

    def _finish(self, names: list[str], turn: Turn) -> None:
        for name in names:
            self._queues[name].lock.release()
            self._leave(name, turn)

    def _leave(self, name: str, turn: Turn) -> None:
        queue = self._queues[name]
        queue.members.remove(turn)
        if not queue.members:
            del self._queues[name]
