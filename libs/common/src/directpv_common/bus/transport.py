"""nats-py's connection without the faults that TLS shows in it; ``tests/integration/access/test_tls.py`` shows them."""

import asyncio
from typing import Any, Final

from nats.aio.transport import TcpTransport

CLOSE_SECONDS: Final = 1.0


class Transport(TcpTransport):
    """The connection, without three faults of it (nats-py 2.16, Python 3.11).

    It waits for the end of a connection on which TLS did not begin, of which asyncio tells nobody.

    It waits half a minute for the goodbye of a server that has fallen silent, and once that was given up, the next who
    waits for it is told that he himself is cancelled.

    It does not tell asyncio that its connection has TLS, which says at the end of each that something has no effect.
    """

    async def connect_tls(self, *arguments: Any, **named: Any) -> None:
        """Begin TLS on the connection."""
        before: Any = self._io_writer
        try:
            await super().connect_tls(*arguments, **named)
        except BaseException:
            before.transport.abort()
            raise
        writer: Any = self._io_writer
        writer.transport.get_protocol()._over_ssl = True

    async def wait_closed(self) -> None:
        """Wait until it is closed, for a second at most."""
        writer: Any = self._io_writer
        if writer is None:
            return
        closed = asyncio.ensure_future(writer.wait_closed())
        closed.add_done_callback(_heard)
        try:
            await asyncio.wait({closed}, timeout=CLOSE_SECONDS)
        finally:
            if not closed.done():
                writer.transport.abort()
                closed.cancel()


def _heard(closed: "asyncio.Future[None]") -> None:
    """Take note of how a connection ended, so that asyncio does not complain that nobody did."""
    if not closed.cancelled():
        closed.exception()
