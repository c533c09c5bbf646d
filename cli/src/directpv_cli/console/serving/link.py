"""The way to the bus for as long as the console runs: lost, it is made again, and pages say so meanwhile."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, TypeVar

from directpv_cli.reaching.session import session
from directpv_common.bus.bus import Bus
from directpv_common.calls.scopes import timeout
from directpv_common.process.lifecycle import background, leaves
from directpv_common.protocol.errors import DirectPVError, Unavailable

T = TypeVar("T")

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 15.0
AWAY_SECONDS: Final = 10.0
"""A bus that is not there for so long is reached anew: the way may lead to a server whose node is dead, and others
live. Servers are replaced in less."""
LOOK_SECONDS: Final = 1.0
LOST: Final = "it has ended"


class Link:
    """Holds the bus, or why there is none."""

    def __init__(self) -> None:
        self.beside: list[Callable[[Bus], Coroutine[None, None, None]]] = []
        """What runs as long as a bus is there, with each anew."""
        self.on_loss: Callable[[], None] = lambda: None
        """Told that a bus that was there is not any more."""
        self.losses = 0
        """How often that was so."""
        self._bus: Bus | None = None
        self._lent: set[asyncio.Future[None]] = set()
        self._settled = asyncio.Event()
        self.error: DirectPVError | None = None
        """Why the last attempt failed."""

    async def first(self) -> None:
        """Wait for the first attempt.

        Raises:
            DirectPVError: It failed.
        """
        await self._settled.wait()
        if self.error is not None:
            raise self.error

    def bus(self) -> Bus:
        """Return the bus.

        Raises:
            Unavailable: There is no way to it at the moment.
        """
        if self._bus is None:
            raise Unavailable(self.error.message if self.error else "the bus is not reached yet")
        return self._bus

    async def lend(self, work: Callable[[Bus], Awaitable[T]]) -> T:
        """Do something that may take days with the bus that there is.

        Raises:
            Unavailable: There is none, or it was lost meanwhile: a bus that was given up answers to nothing any more.
        """
        bus, lost = self.bus(), asyncio.get_running_loop().create_future()
        doing = asyncio.ensure_future(work(bus))
        self._lent.add(lost)
        try:
            await asyncio.wait((doing, lost), return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            raise Unavailable(f"the way to the bus was lost meanwhile: {self.error.message if self.error else LOST}")
        finally:
            self._lent.discard(lost)
            await _ended(doing)

    async def run(self) -> None:
        """Keep a way to the bus until cancelled."""
        pause = FIRST_PAUSE
        while True:
            try:
                async with session() as bus, background(*(each(bus) for each in self.beside)):
                    self._bus, self.error, pause = bus, None, FIRST_PAUSE
                    self._settled.set()
                    await _required(bus)
            except* DirectPVError as group:
                self.error = next(error for error in leaves(group) if isinstance(error, DirectPVError))
            finally:
                lost, self._bus = self._bus is not None, None
                self._settled.set()
            if lost:
                self.losses += 1
                for each in self._lent:
                    each.cancel()
                self.on_loss()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


async def _ended(doing: "asyncio.Future[T]") -> None:
    """End what is being done, if it has not ended; how is no matter."""
    doing.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await doing


async def _required(bus: Bus) -> None:
    """Wait until a new way to the bus is needed.

    Raises:
        Unavailable: Then; says why.
    """
    away = 0.0
    while away < AWAY_SECONDS:
        with contextlib.suppress(TimeoutError):
            async with timeout(LOOK_SECONDS):
                await bus.require()
        away = 0.0 if bus.connected else away + LOOK_SECONDS
    raise Unavailable(f"the bus has not answered for {away:.0f} s")
