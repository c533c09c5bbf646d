"""grpclib's server, with one write for all that one turn of the event loop has to say on a connection.

grpclib 0.4.9 writes headers, message and trailers of a reply one after the other; each is a system call that wakes the
client. It has no public way to give it a transport, so ``_protocol_factory`` is overridden here. Were it named
otherwise one day, replies would be written in three parts again; ``tests/integration/gateway/test_gathering.py`` tells.
"""

import asyncio
from typing import Any

from grpclib import server


class Gathering:
    """A transport that keeps what is written until the present turn of the loop is over.

    Then the transport below has it all, and pauses who writes as ever: no more is kept than one turn makes.
    """

    def __init__(self, below: asyncio.Transport) -> None:
        self._below = below
        self._loop = asyncio.get_running_loop()
        self._kept: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Keep ``data`` behind what was written before."""
        if not self._kept:
            self._loop.call_soon(self._hand_over)
        self._kept.append(data)

    def close(self) -> None:
        """Close the connection when all that was written has gone."""
        self._hand_over()
        self._below.close()

    def _hand_over(self) -> None:
        kept, self._kept = self._kept, []
        if kept and not self._below.is_closing():
            self._below.write(b"".join(kept))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)


class Server(server.Server):
    """Answers through :class:`Gathering`."""

    def _protocol_factory(self) -> Any:
        protocol: Any = super()._protocol_factory()
        made = protocol.connection_made
        protocol.connection_made = lambda transport: made(Gathering(transport))
        return protocol
