"""The sockets of a client's connections, so that none outlives it.

A request that is cancelled leaves a connection that takes leave of its server by TLS, for as long as asyncio waits for
an answer. aiohttp's own remedy, ``enable_cleanup_closed``, raises AttributeError on Python 3.11 when such a connection
has ended by itself.
"""

import asyncio
import contextlib
import socket
from typing import Final
from weakref import WeakSet

from aiohttp import AddrInfoType

END_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.005


class Sockets:
    """Makes sockets, and ends those that are still there."""

    def __init__(self) -> None:
        self._made: WeakSet[socket.socket] = WeakSet()

    def make(self, address: AddrInfoType) -> socket.socket:
        """Return a socket for an address. Source: aiohttp, ``TCPConnector(socket_factory=)``."""
        made = socket.socket(*address[:3])
        self._made.add(made)
        return made

    async def end(self) -> None:
        """Shut down what is open, and wait until its transport has closed it; :data:`END_SECONDS` at most."""
        for each in self._open():
            with contextlib.suppress(OSError):  # not connected, or not any more
                each.shutdown(socket.SHUT_RDWR)
        for _ in range(int(END_SECONDS / _LOOK_SECONDS)):
            if not self._open():
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _open(self) -> list[socket.socket]:
        return [each for each in self._made if each.fileno() >= 0]
