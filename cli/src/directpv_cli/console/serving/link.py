"""The way to the bus for as long as the console runs: lost, it is made again, and pages say so meanwhile."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Final

from directpv_cli.reaching.session import session
from directpv_common.bus.bus import Bus
from directpv_common.calls.scopes import timeout
from directpv_common.process.lifecycle import background, leaves
from directpv_common.protocol.errors import DirectPVError, Unavailable

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 15.0
AWAY_SECONDS: Final = 10.0
"""A bus that is not there for so long is reached anew: the way may lead to a server whose node is dead, and others
live. Servers are replaced in less."""
LOOK_SECONDS: Final = 1.0


class Link:
    """Holds the bus, or why there is none."""

    def __init__(self) -> None:
        self.beside: list[Callable[[Bus], Coroutine[None, None, None]]] = []
        """What runs as long as a bus is there, with each anew."""
        self.on_loss: Callable[[], None] = lambda: None
        """Told that a bus that was there is not any more."""
        self._bus: Bus | None = None
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
                self.on_loss()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


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
