"""The client of the API server, with answers that no API server gives, and connections that say nothing more."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import pytest

from directpv_common.protocol.errors import Unavailable
from directpv_controller.registry.kubernetes.apiserver.access import Access
from directpv_controller.registry.kubernetes.apiserver.client import Client, connect
from directpv_controller.registry.kubernetes.election import LEASE, leases

PAGE_FOR_PEOPLE = b"<html><body>We will be back soon</body></html>"


async def no_token(refused: bool) -> str:
    return ""


@contextlib.asynccontextmanager
async def answering(body: bytes) -> AsyncIterator[Client]:
    """Yield a client of a server that answers 200 with ``body``, whatever it is asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    access = Access(url, ssl.create_default_context(), no_token)
    async with server, connect(access, lambda *_: None) as client:
        yield client


async def watched(client: Client) -> None:
    async with client.watch(leases("x"), "1", seconds=1, idle=1) as events:
        async for _ in events:
            pass


@pytest.mark.parametrize("body", [PAGE_FOR_PEOPLE, b"[]", b"{}", b""])
async def test_an_answer_that_is_no_object_is_no_answer(body: bytes) -> None:
    async with answering(body) as client:
        with pytest.raises(Unavailable):
            await client.get(leases("x"), LEASE)
        with pytest.raises(Unavailable):
            [page async for page in client.pages(leases("x"))]


@pytest.mark.parametrize("body", [PAGE_FOR_PEOPLE + b"\n", b"[]\n", b"{}\n"])
async def test_an_answer_that_is_no_event_ends_the_watch(body: bytes) -> None:
    async with answering(body) as client:
        with pytest.raises(Unavailable):
            await watched(client)
