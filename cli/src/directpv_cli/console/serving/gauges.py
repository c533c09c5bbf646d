"""Hears what nodes sample of their drives and volumes."""

import asyncio
import contextlib
from typing import Final

from directpv_cli.console.core.history import History
from directpv_cli.console.serving.hub import Hub
from directpv_cli.console.serving.keeper import Keeper
from directpv_common.bus.bus import Bus
from directpv_common.protocol import messages as m
from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.wire import decode

TOPIC: Final = "samples"
TELL_SECONDS: Final = 1.0
"""Many nodes sample at many moments: what comes within so long is told together."""
FORGET_SECONDS: Final = 600.0


class Gauges:
    """Holds the history."""

    def __init__(self, hub: Hub, keeper: Keeper) -> None:
        self.history = History()
        self._hub, self._keeper = hub, keeper
        self._telling = False

    async def run(self, bus: Bus) -> None:
        """Hear until cancelled."""
        end = await bus.subscribe(bus.subjects.metrics("*"), lambda message: self._heard(message.data))
        try:
            while True:
                await asyncio.sleep(FORGET_SECONDS)
                if not self._keeper.silent:
                    self.history.forget(self._keeper.picture.by_id, self._keeper.picture.by_name)
        finally:
            await end()

    def _heard(self, data: bytes) -> None:
        with contextlib.suppress(DirectPVError, ValueError):
            self.history.take(decode(data, m.NodeMetrics))
            if not self._telling:
                self._telling = True
                asyncio.get_running_loop().call_later(TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        self._telling = False
        self._hub.tell(TOPIC)
