"""The events of the last day, and those that come: read once for all pages, from the stream on the bus."""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from directpv_cli.commands.looking.history import events_since
from directpv_cli.console.core.telling import SHOWN, Wanted
from directpv_cli.console.serving.hub import Hub
from directpv_cli.reading.event_filter import EventFilter
from directpv_common.bus.bus import Bus
from directpv_common.bus.cloud_event import CloudEvent
from directpv_common.protocol.errors import DirectPVError, Unavailable

TOPIC: Final = "events"
REMEMBERED: Final = timedelta(days=1)
KEPT: Final = 20_000
PAUSE_SECONDS: Final = 5.0


class Tape:
    """What happened."""

    def __init__(self, hub: Hub, nudge: Callable[[], None]) -> None:
        self.events: deque[CloudEvent] = deque(maxlen=KEPT)
        """Oldest first."""
        self.unread = ""
        """Why events are missing; empty: they are not."""
        self._hub, self._nudge = hub, nudge

    async def run(self, bus: Bus) -> None:
        """Read until cancelled; where the stream cannot be read, again and again."""
        from nats.errors import Error

        while True:
            try:
                await self._read(bus)
            except DirectPVError as error:
                self.unread = error.message
            except (Error, OSError) as error:
                self.unread = f"the events cannot be read: {error or type(error).__name__}"
            self._hub.tell(TOPIC)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _read(self, bus: Bus) -> None:
        self.events.clear()
        async for event, _ in events_since(bus, datetime.now(UTC) - REMEMBERED, EventFilter(), follow=True):
            self.unread = ""
            self.events.append(event)
            self._hub.tell(TOPIC)
            self._nudge()

    @staticmethod
    async def replay(bus: Bus, wanted: Wanted) -> list[CloudEvent]:
        """Read from the stream what is asked for, the last of it.

        Raises:
            Unavailable: It cannot be read.
        """
        from nats.errors import Error

        found: deque[CloudEvent] = deque(maxlen=SHOWN)
        try:
            async for event, _ in events_since(bus, wanted.begin(datetime.now(UTC)), EventFilter(), follow=False):
                if wanted.match(event):
                    found.append(event)
        except (Error, OSError) as error:
            raise Unavailable(f"the events cannot be read: {error or type(error).__name__}") from error
        return list(found)
