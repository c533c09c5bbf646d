"""Lets many calls that come at once go on over several turns of the loop: what is due by the clock must not wait."""

import asyncio
from typing import Final

AT_ONCE: Final = 16
"""Calls in one turn: a refusal costs 0.4 ms, and leadership, heartbeats and others' calls wait no longer than 20 ms."""


class Pace:
    """Counts who goes on in the present turn of the loop; who came first goes on first."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once, self._gone = at_once, 0

    async def wait(self) -> None:
        """Return at once while the turn has room, else in one of the next turns."""
        while self._gone >= self._at_once:
            await asyncio.sleep(0)
        if not self._gone:
            asyncio.get_running_loop().call_soon(self._next)  # before those who wait: they asked later
        self._gone += 1

    def _next(self) -> None:
        self._gone = 0
