"""A connection to the bus that is kept: made when a server answers, and made anew when one has ended it for good."""

import asyncio
import functools
import logging
from typing import Final, TypeVar

from directpv_common.access.nkey import Nkey
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import INBOX, KEY_ADVICE, connect_bus
from directpv_common.bus.trust import Trust
from directpv_common.calls.context import remaining
from directpv_common.calls.scopes import timeout
from directpv_common.process.traffic import TRAFFIC
from directpv_common.protocol.api import Endpoint
from directpv_common.protocol.errors import Unavailable

log = logging.getLogger(__name__)
Q = TypeVar("Q")
R = TypeVar("R")

AGAIN_SECONDS: Final = 1.0


class Line:
    """Calls the leader and node agents, over whatever connection there is; see :class:`~.bus.Bus`."""

    def __init__(
        self,
        urls: str,
        *,
        name: str,
        prefix: str,
        nkey: Nkey | None = None,
        inbox: str = INBOX,
        advice: str = KEY_ADVICE,
        trust: Trust | None = None,
    ) -> None:
        """Describe the connection; arguments as of :func:`~.connecting.connect_bus`."""
        self._connection_to = functools.partial(
            connect_bus,
            urls,
            name=name,
            prefix=prefix,
            within=None,
            nkey=nkey,
            inbox=inbox,
            advice=advice,
            trust=trust,
        )
        self._bus: Bus | None = None
        self._there = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether a server can be reached now."""
        return self._bus is not None and self._bus.connected

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        while True:
            try:
                async with self._connection_to() as bus:
                    await bus.follow_leader()
                    self._bus = bus
                    self._there.set()
                    await bus.ended.wait()
                    TRAFFIC.reconnects += 1
                    log.warning("the server ended the connection; connecting anew")
            except Unavailable as error:
                log.warning("bus cannot be reached", extra={"error": error.message})
            finally:
                self._bus = None
                self._there.clear()
            await asyncio.sleep(AGAIN_SECONDS)

    async def call(
        self,
        endpoint: Endpoint[Q, R],
        request: Q,
        *,
        node: str | None = None,
        within: float,
        patient: bool = True,
    ) -> R:
        """Send ``request`` and return the reply, as :meth:`Bus.call` does, which has the arguments and errors.

        Raises:
            Unavailable: There is no connection, for as long as the call could wait.
        """
        limit = min(within, remaining(within))
        deadline = asyncio.get_running_loop().time() + limit
        bus = await self._connection(limit)
        left = deadline - asyncio.get_running_loop().time()
        return await bus.call(endpoint, request, node=node, within=left, patient=patient)

    async def _connection(self, limit: float) -> Bus:
        if self._bus is None:
            try:
                async with timeout(limit):
                    await self._there.wait()
            except TimeoutError:
                raise Unavailable("no NATS server answers: the bus is not connected") from None
        if self._bus is None:
            raise Unavailable("the bus was connected for a moment only; repeat")
        return self._bus
