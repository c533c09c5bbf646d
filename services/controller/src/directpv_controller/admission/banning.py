"""Keeps out who took too much of the bus: here, and where the other controllers answer NATS."""

import logging
import time

from nats.aio.msg import Msg

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.wire import decode
from directpv_controller.admission.core.excess import Bans

log = logging.getLogger(__name__)


class Banning:
    """Whom this controller cut off it tells the others, and again for as long as it lasts: they may be flooded, too."""

    def __init__(self, bus: Bus, bans: Bans) -> None:
        self._bus, self._bans = bus, bans
        self._mine: set[str] = set()

    async def put(self, who: str, seconds: float) -> None:
        """Let somebody wait; see :func:`~.core.excess.who`."""
        now = time.monotonic()
        self._bans.put(who, now + seconds, now)
        self._mine.add(who)
        await self._tell(who, seconds)

    async def repeat(self) -> None:
        """Tell the others once more."""
        for who in tuple(self._mine):
            if (left := self.left(who)) > 0:
                await self._tell(who, left)
            else:
                self._mine.discard(who)

    def left(self, who: str) -> float:
        """Return for how many seconds more he waits; 0: he does not."""
        return self._bans.left(who, time.monotonic())

    def heard(self, message: Msg) -> None:
        """Take in whom another controller cut off."""
        try:
            told = decode(message.data, m.CutOff)
        except DirectPVError as error:
            log.warning("who was cut off cannot be read", extra={"error": error.message})
            return
        now = time.monotonic()
        self._bans.put(told.who, now + told.seconds, now)

    async def _tell(self, who: str, seconds: float) -> None:
        await self._bus.publish(self._bus.subjects.cut, m.CutOff(who=who, seconds=seconds))
