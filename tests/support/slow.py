"""A way to a server on loopback on which what is asked takes as long as a test wants; what is answered does not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

CHUNK: Final = 1 << 16


class SlowWay:
    """Listens on :attr:`port`; :attr:`seconds` may be set at any time, for what comes then."""

    def __init__(self, target: int) -> None:
        self.target, self.port, self.seconds = target, 0, 0.0
        self._joined: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["SlowWay"]:
        """Pass on while the block runs."""
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in tuple(self._joined):
                task.cancel()
            await asyncio.gather(*self._joined, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._joined.add(task)
        task.add_done_callback(self._joined.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            back, forth = await asyncio.open_connection("127.0.0.1", self.target)
            asked = asyncio.ensure_future(self._pass(reader, forth, slowly=True))
            told = asyncio.ensure_future(self._pass(back, writer, slowly=False))
            try:
                await asyncio.wait((asked, told), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for end in (asked, told):
                    end.cancel()
                writer.close()
                forth.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slowly: bool) -> None:
        while data := await reader.read(CHUNK):
            if slowly and self.seconds:
                await asyncio.sleep(self.seconds)
            writer.write(data)
            await writer.drain()
