"""NATS over a websocket with TLS, as nodes' servers come: what is written goes out in frames, what came is read on."""

import asyncio
import base64
import contextlib
import os
import ssl
from collections.abc import AsyncIterator

BINARY = 0x82
LONG, LONGER = 126, 127


class Writer:
    """Writes frames; they are not masked, which servers of NATS allow each other."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def write(self, data: bytes) -> None:
        size = len(data)
        if size < LONG:
            head = bytes((BINARY, size))
        elif size < 1 << 16:
            head = bytes((BINARY, LONG)) + size.to_bytes(2, "big")
        else:
            head = bytes((BINARY, LONGER)) + size.to_bytes(8, "big")
        self._writer.write(head + data)

    async def drain(self) -> None:
        await self._writer.drain()


@contextlib.asynccontextmanager
async def websocket(port: int, authority: str, path: str) -> AsyncIterator[tuple[asyncio.StreamReader, Writer]]:
    """Open one to a server on loopback whose certificate is of the authority in a file."""
    trusted = ssl.create_default_context(cafile=authority)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusted)
    said = asyncio.StreamReader(limit=1 << 24)
    pumping: asyncio.Task[None] | None = None
    try:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            f"GET {path} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            "Nats-No-Masking: true",
        )
        writer.write("\r\n".join((*lines, "", "")).encode())
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert answer.startswith(b"http/1.1 101"), answer
        assert b"nats-no-masking: true" in answer, answer
        pumping = asyncio.create_task(_pump(reader, said))
        yield said, Writer(writer)
    finally:
        if pumping is not None:
            pumping.cancel()
            await asyncio.wait({pumping})
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _pump(reader: asyncio.StreamReader, said: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            kind, size = await reader.readexactly(2)
            if size >= LONG:
                size = int.from_bytes(await reader.readexactly(2 if size == LONG else 8), "big")
            data = await reader.readexactly(size)
            if kind & 0x0F <= 2:  # text, binary or more of one; else it is about the connection
                said.feed_data(data)
            if kind & 0x0F == 8:
                break
    said.feed_eof()
