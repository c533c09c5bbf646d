"""Stands between a client and a server on loopback: what is asked can take long, and connections can fall silent."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast


class Proxy:
    """Passes on what comes on each connection; :attr:`seconds` may be set at any time, for what is asked then."""

    def __init__(self, port: int) -> None:
        self.seconds = 0.0
        """How long what is asked is on its way; what is answered takes no time."""
        self._behind = port
        self._stalled: set[object] = set()
        self._open: set[object] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: list[asyncio.StreamWriter] = []
        self._ends: list[asyncio.StreamWriter] = []

    def stall(self) -> None:
        """Let connections that are open now say nothing more, in both directions; new ones work."""
        self._stalled |= self._open

    def say(self, data: bytes) -> None:
        """Say something to every client, as if the server did."""
        for client in self._clients:
            client.write(data)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Yield the port."""
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for each in self._ends:  # of tasks that had not begun, too
                each.close()
            await asyncio.gather(*(each.wait_closed() for each in self._ends), return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(cast("asyncio.Task[None]", asyncio.current_task()))
        self._ends.append(writer)
        there, back = await asyncio.open_connection("127.0.0.1", self._behind)
        link = object()
        self._open.add(link)
        self._ends.append(back)
        self._clients.append(writer)
        self._tasks.add(asyncio.create_task(self._pass(link, reader, back, slowly=True)))
        self._tasks.add(asyncio.create_task(self._pass(link, there, writer, slowly=False)))

    async def _pass(
        self, link: object, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slowly: bool
    ) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                if slowly and self.seconds:
                    await asyncio.sleep(self.seconds)
                if link not in self._stalled:
                    writer.write(data)
