"""A server that has not greeted yet has not said that it asks nobody."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from directpv_cli.reaching import credential
from directpv_cli.reaching.credential import asks_who
from directpv_common.protocol.errors import Unavailable
from support.ports import free_port


@contextlib.asynccontextmanager
async def greeting(words: bytes) -> AsyncIterator[str]:
    """Yield the URL of a server that says nothing but ``words``."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            writer.write(words)
            await reader.read()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("words", "asks"), [(b'INFO {"auth_required":true}\r\n', True), (b"INFO {}\r\n", False), (b"HTTP/1.1\r\n", False)]
)
async def test_a_server_says_whether_it_asks(words: bytes, asks: bool) -> None:
    async with greeting(words) as url:
        assert await asks_who(url) is asks


async def test_silence_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credential, "GREET_SECONDS", 0.2)
    async with greeting(b"") as url:
        with pytest.raises(Unavailable, match="does not greet within"):
            await asks_who(url)


async def test_where_nobody_listens_nobody_asks() -> None:
    assert not await asks_who(f"nats://127.0.0.1:{free_port()}")
