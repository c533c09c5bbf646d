"""Which nodes are there: a new leader calls all of them, and later notices who has gone silent."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Final

from directpv_common.calls.scopes import timeout
from directpv_common.protocol.counts import counted
from directpv_common.protocol.messages import Empty
from directpv_controller.core.reserving.books import UNKNOWN_NODE
from directpv_controller.leading.term import Term

log = logging.getLogger(__name__)

CALL_SECONDS: Final = 2.0
"""Who has not answered the call by then is taken to be away, until it is heard. An agent answers in milliseconds."""
CALL_AGAIN_SECONDS: Final = 0.5
"""The first call may have been quicker than the subscription of the other side, or of ours."""
CALL_PAUSE: Final = 0.02
WATCH_SECONDS: Final = 1.0


class RollCall:
    """Keeps volumes from being placed on nodes that are not there.

    Args:
        term: Whose drives are opened and closed.
        online_seconds: A node that was silent for so long is away; 0: all are taken to be there.
        heard: Returns the monotonic time at which a node was last heard in this term; minus infinity: never.
    """

    def __init__(self, term: Term, online_seconds: float, heard: Callable[[str], float]) -> None:
        self.over = asyncio.Event()
        """Set while it is known of every node with drives whether it is there."""
        self._term = term
        self._online_seconds = online_seconds
        self._heard = heard
        self._called = 0.0
        """Monotonic time of the last call; whoever was heard only before it is away, however short the silence."""
        self._again = asyncio.Event()

    def begin(self) -> None:
        """Call all nodes (again): nothing was heard of them lately for a reason of ours."""
        self.over.clear()
        self._again.set()

    async def run(self) -> None:
        """Call, then watch, until cancelled."""
        self.begin()
        while True:
            self._again.clear()
            if self._online_seconds:
                await self._call()
            if not self._again.is_set():
                self.over.set()
            while not self._again.is_set():
                if self._online_seconds:
                    self._note(max(self._called, time.monotonic() - self._online_seconds))
                await self._pause(WATCH_SECONDS)

    async def _call(self) -> None:
        bus = self._term.bus
        since = now = called = self._called = time.monotonic()
        await bus.publish(bus.subjects.roll_call, Empty())
        missing = self._missing(since)
        while missing and now < since + CALL_SECONDS and not self._again.is_set():
            await self._pause(CALL_PAUSE)
            now = time.monotonic()
            if now >= called + CALL_AGAIN_SECONDS:
                called = now
                await bus.publish(bus.subjects.roll_call, Empty())
            missing = [name for name in missing if self._heard(name) < since]
        if self._again.is_set():
            return
        self._note(since)
        if missing:
            log.warning("nodes do not answer", extra={"nodes": missing[:10], "count": len(missing)})

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with timeout(seconds):
                await self._again.wait()

    def _missing(self, since: float) -> list[str]:
        nodes = self._term.ledger.nodes.items()
        return [name for name, node in nodes if node.drives and name != UNKNOWN_NODE and self._heard(name) < since]

    def _note(self, since: float) -> None:
        """Close the drives of all nodes that were not heard since then, and open those of the others."""
        away = set(self._missing(since))
        for name in self._term.ledger.nodes:
            if self._term.ledger.set_offline(name, name in away):
                self._tell(name, away=name in away)

    def _tell(self, name: str, *, away: bool) -> None:
        drives = counted(len(self._term.ledger.nodes[name].drives), "drive")
        cause = f"its agent is not heard, and no volumes go to {drives} there"
        facts = {"cause": cause, "advice": "start the agent, or the machine"} if away else {}
        self._term.events.emit("node", "offline" if away else "online", name, node=name, **facts)
