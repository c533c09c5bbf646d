"""The shorter ways of calls through the client, on a real nats-server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import nats.errors
import pytest
from nats.aio.msg import Msg

from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from support.nats import nats_server

WAIT = 10


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    with nats_server(tmp_path / "store") as server:
        async with connect_bus(server.url, name="test", prefix="directpv.v1") as connected:
            yield connected


async def test_who_fails_to_take_a_message_in_costs_nobody_the_next_ones(bus: Bus) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    def take(message: Msg) -> None:
        heard.put_nowait(message.data)
        if message.data == b"first":
            raise ValueError("cannot be taken in")

    await bus.subscribe("test.news", take)
    for word in (b"first", b"second"):
        await bus.client.publish("test.news", word)

    async with asyncio.timeout(WAIT):
        assert [await heard.get(), await heard.get()] == [b"first", b"second"]
        await bus.client.flush()


async def test_messages_are_taken_in_in_the_order_in_which_they_were_said(bus: Bus) -> None:
    heard: list[int] = []
    end = asyncio.Event()

    def take(message: Msg) -> None:
        heard.append(int(message.data))
        if heard[-1] == 4999:
            end.set()

    await bus.subscribe("test.numbers", take)
    for number in range(5000):
        await bus.client.publish("test.numbers", str(number).encode())

    async with asyncio.timeout(WAIT):
        await end.wait()
    assert heard == list(range(5000))


async def test_who_unsubscribed_hears_nothing_more(bus: Bus) -> None:
    heard: list[bytes] = []
    unsubscribe = await bus.subscribe("test.news", lambda message: heard.append(message.data))
    await bus.client.publish("test.news", b"before")
    await bus.client.flush()
    await unsubscribe()
    await bus.client.publish("test.news", b"after")
    await bus.client.flush()

    assert heard == [b"before"]


async def test_nothing_is_kept_of_requests_that_nobody_answers_in_time_and_of_those_given_up(bus: Bus) -> None:
    asked = asyncio.Event()

    async def note(_: Msg) -> None:
        asked.set()

    silent = await bus.client.subscribe("test.silent", cb=note)
    with pytest.raises(nats.errors.TimeoutError):
        await bus.client.request("test.silent", timeout=0.05)
    asked.clear()
    waiting = asyncio.create_task(bus.client.request("test.silent", timeout=WAIT))
    async with asyncio.timeout(WAIT):
        await asked.wait()
    waiting.cancel()
    await asyncio.wait({waiting})

    assert waiting.cancelled()
    assert not bus.client._resp_map
    await silent.unsubscribe()


async def test_an_answer_that_comes_after_its_time_is_nobody_elses(bus: Bus) -> None:
    late: list[Msg] = []

    async def keep(message: Msg) -> None:
        late.append(message)
        if len(late) > 1:
            await late[0].respond(b"to the first")
            await message.respond(b"to the second")

    await bus.client.subscribe("test.late", cb=keep)
    with pytest.raises(nats.errors.TimeoutError):
        await bus.client.request("test.late", timeout=0.05)
    answer = await bus.client.request("test.late", timeout=WAIT)

    assert answer.data == b"to the second"
