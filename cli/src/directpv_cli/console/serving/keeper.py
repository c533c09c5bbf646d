"""Keeps one picture of the installation for all pages: however many are open, the controller is asked once.

It looks while somebody looks at it: every few seconds, sooner when an event tells that something changed, and never so
often that the controller spends more than a tenth of its time on it.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import directpv_common.protocol.messages as m
from directpv_cli.commands.listing import all_volumes
from directpv_cli.commands.looking.status import hear
from directpv_cli.console.core.picture import NOTHING, Picture
from directpv_cli.console.serving.hub import Hub
from directpv_cli.console.serving.link import Link
from directpv_cli.showing.health import of_services
from directpv_common.bus.bus import Bus
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import DirectPVError

TOPIC: Final = "picture"
LOOKED_SECONDS: Final = 10.0
"""Whoever asked for a page without a stream is thought to look for so long."""
FIRST_WITHIN: Final = 15.0
"""How long the console waits for its first look before it says its address."""
FRESH_WITHIN: Final = 1.0
"""How long a page may wait for a new picture when nobody looked for a while."""
MISSED_WITHIN: Final = 2.5
"""The same, when what somebody looks for is not in the last picture."""
OF_LATE: Final = 3
"""Looks of which the quickest says how long one takes: a slow one may have been an accident."""
AWAY: Final = "the bus does not answer: its server has ended, or there is no way to it; it is tried again"
SOON_SECONDS: Final = 0.2
"""Events come in bursts: what they tell of is looked at together."""


class Keeper:
    """The picture, how old it is, and why there is no newer one."""

    def __init__(self, link: Link, hub: Hub, clock: Callable[[], float] = time.monotonic) -> None:
        self.picture: Picture = NOTHING
        self.silent = ""
        """Why the last look failed; empty: it did not."""
        self._link, self._hub, self._clock = link, hub, clock
        self._asked_at = clock()
        self._took: deque[float] = deque(maxlen=OF_LATE)
        self._soon = asyncio.Event()
        self._looked = asyncio.Event()

    @property
    def age(self) -> float:
        """Seconds since the last look that told anything began."""
        return self._clock() - self.picture.began if self.picture.number else 0.0

    @property
    def unwatched(self) -> float:
        """Seconds since somebody looked at a page."""
        return 0.0 if self._hub.listeners else self._clock() - self._asked_at

    def nudge(self) -> None:
        """Something changed: look soon."""
        self._soon.set()

    def lost(self) -> None:
        """Nobody can be asked any more: say so now, not when the next look is due."""
        if (error := self._link.error) is not None:
            self.silent = error.message
            self._hub.tell(TOPIC)
            self.nudge()

    async def shown(self) -> Picture:
        """Return the picture to somebody who looks; waits a moment if nobody looked before."""
        self._asked_at = self._clock()
        if self.age > 2 * self.picture.pause:
            self._looked.clear()
            self.nudge()
            try:
                async with timeout(FRESH_WITHIN):
                    await self._looked.wait()
            except TimeoutError:
                return self.picture
        return self.picture

    async def first(self) -> None:
        """Wait until the first look has ended, or for so long."""
        with contextlib.suppress(TimeoutError):
            async with timeout(FIRST_WITHIN):
                await self._looked.wait()

    async def fresh(self) -> Picture:
        """Return a picture of now to somebody who looks for what is not in the last one, if there is one soon."""
        before, until = self.picture.number, self._clock() + MISSED_WITHIN
        while self.picture.number == before and (left := until - self._clock()) > 0:
            self._looked.clear()
            self.nudge()
            with contextlib.suppress(TimeoutError):
                async with timeout(left):
                    await self._looked.wait()
        return self.picture

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            self._soon.clear()
            begun = self._clock()
            await self.look()
            await self._due(begun)

    async def _due(self, begun: float) -> None:
        """Wait until the next look is due: sooner if something changed, and not at all while nobody looks."""
        pause = self.picture.pause
        await asyncio.sleep(max(SOON_SECONDS, begun + self.picture.least_pause - self._clock()))
        while not (self._soon.is_set() and self.unwatched < LOOKED_SECONDS):
            left = begun + pause - self._clock()
            if left <= 0 and self.unwatched < LOOKED_SECONDS:
                return
            self._soon.clear()
            try:
                async with timeout(left if left > 0 else LOOKED_SECONDS):
                    await self._soon.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Take a picture; if nobody can be asked, the last one stays, and it is said why."""
        began = self._clock()
        try:
            bus = self._link.bus()
            seen = await _seen(bus)
        except DirectPVError as error:
            self.silent = error.message
        else:
            self.silent = ""
            if seen.heard.unheard or not seen.heard.leader:
                self.silent = " ".join(of_services(seen.heard)) if bus.connected else AWAY
            if not self.silent or not self.picture.number:
                self._took.append(self._clock() - began)
                took = min(self._took)
                self.picture = replace(seen, number=self.picture.number + 1, began=began, took=took)
        self._looked.set()
        self._hub.tell(TOPIC)


async def _seen(bus: Bus) -> Picture:
    heard = await hear(bus)
    if heard.unheard or not heard.leader:
        return Picture(heard)
    volumes = await all_volumes(bus, m.ListVolumes(deleting=True))
    return Picture(heard, volumes)
