"""A node's server that keeps to nothing: it says and asks for whatever it likes, over NATS' own protocol for leafs."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator

from directpv_common.access.nkey import Nkey
from support.tls import Secured
from support.websocket import Writer, websocket


class RawLeaf:
    """A connection to a hub that was let in."""

    def __init__(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self._reader, self._writer = reader, writer

    async def subscribe(self, subject: str) -> None:
        self._writer.write(f"LS+ {subject}\r\n".encode())
        await self._writer.drain()

    async def publish(self, subject: str, payload: bytes = b"{}") -> None:
        self._writer.write(b"LMSG %s %d\r\n%s\r\n" % (subject.encode(), len(payload), payload))
        await self._writer.drain()

    async def flood(self, subject: str, size: int = 2, at_once: int = 1000) -> int:
        """Say as much as goes until the hub ends it; return how many messages that were."""
        block = b"LMSG %s %d\r\n%s\r\n" % (subject.encode(), size, b"x" * size) * at_once
        said = 0
        with contextlib.suppress(OSError):
            while not self._reader.at_eof():
                self._writer.write(block)
                await self._writer.drain()
                said += at_once
                await asyncio.sleep(0)
        return said

    async def heard(self, within: float = 5.0) -> set[str]:
        """Return the subjects of all messages that came before the answer to a ping, or the end."""
        self._writer.write(b"PING\r\n")
        found = set()
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async with asyncio.timeout(within):
                while (line := await self._reader.readline()) not in (b"PONG\r\n", b""):
                    if line.startswith(b"LMSG "):
                        found.add(line.split()[1].decode())
                        await self._reader.readexactly(int(line.split()[-1]) + 2)
        return found

    async def ended(self, within: float) -> bool:
        """Tell whether the hub ends the connection within so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                with contextlib.suppress(OSError):
                    while line := await self._reader.readline():
                        if line == b"PING\r\n":
                            self._writer.write(b"PONG\r\n")
                return True
        return False


@contextlib.asynccontextmanager
async def raw_leaf(hub: Secured, key: Nkey, name: str, within: float = 60.0) -> AsyncIterator[RawLeaf]:
    """Join the hub as the server of a node: it tries again each second until it is let in, as those do.

    Of several controllers the one that is asked may not have heard yet who was registered just now.

    Args:
        within: Seconds; 0 for one attempt.

    Raises:
        AssertionError: It is not let in.
    """
    async with contextlib.AsyncExitStack() as stack:
        limit = time.monotonic() + within
        while True:
            try:
                leaf = await stack.enter_async_context(_let_in(hub, key, name))
                break
            except (AssertionError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                if time.monotonic() >= limit:
                    raise AssertionError("it was not let in") from error
            await asyncio.sleep(1)
        yield leaf


@contextlib.asynccontextmanager
async def _let_in(hub: Secured, key: Nkey, name: str) -> AsyncIterator[RawLeaf]:
    async with websocket(hub.port, hub.authority, "/leafnode") as (reader, writer):
        info = json.loads((await reader.readline()).removeprefix(b"INFO "))
        options = {
            "nkey": key.public,
            "sig": key.answer(info["nonce"]).decode(),
            "name": name,
            "server_id": key.public.replace("U", "N", 1),
            "version": "2.15.1",
            "headers": True,
            "protocol": 1,
        }
        writer.write(f"CONNECT {json.dumps(options)}\r\nPING\r\n".encode())
        async with asyncio.timeout(10):
            while (line := await reader.readline()) != b"PONG\r\n":
                assert line, "it was not let in"
        yield RawLeaf(reader, writer)
