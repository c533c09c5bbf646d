"""A flush, or a connection in the making, that is given up, on a real nats-server."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from nats.aio.msg import Msg

import directpv_common.protocol.messages as m
from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.service import serve
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import Unavailable
from support.nats import nats_server


async def test_a_bus_goes_on_listening_when_a_flush_was_given_up(tmp_path: Path) -> None:
    async def found(_: object) -> m.Done:
        return m.Done()

    with nats_server(tmp_path / "store") as server:
        async with connect_bus(server.url, name="test", prefix="directpv.v1") as bus:
            flush = asyncio.create_task(bus.client.flush())
            async with asyncio.timeout(5):
                while not bus.client._pongs:  # to be cancelled only when the server has been asked
                    await asyncio.sleep(0)
            flush.cancel()
            await bus.client.flush(timeout=2)
            serving = serve(
                bus, name="one", description="test", handlers={Controller.VOLUME_DELETE: found}, queue="one"
            )
            async with serving:
                assert await bus.call(Controller.VOLUME_DELETE, m.VolumeId(name="pvc-1"), within=2) == m.Done()


async def test_a_connection_in_the_making_is_given_up_when_it_is_told_so(tmp_path: Path) -> None:
    """At whatever moment: the cancellations fall on one after the other of the steps in which it is made."""
    with nats_server(tmp_path / "store") as server:

        async def connected() -> None:
            async with connect_bus(server.url, name="test", prefix="directpv.v1"):
                await asyncio.Event().wait()

        for steps in range(600):
            connecting = asyncio.create_task(connected())
            for _ in range(steps):
                await asyncio.sleep(0)
            connecting.cancel()
            done, _ = await asyncio.wait({connecting}, timeout=10)
            assert done, f"cancelled after {steps} steps, it goes on"


async def test_a_connection_that_is_ended_while_it_is_made_anew_does_not_come_back(tmp_path: Path) -> None:
    """At whatever moment: the end falls on one after the other of the steps in which it is made anew."""
    before = asyncio.all_tasks()
    with nats_server(tmp_path / "store") as server:
        for steps in range(80):
            async with connect_bus(server.url, name="test", prefix="directpv.v1") as bus:
                there = bus.client._current_server
                tried = there.last_attempt
                bus.client._transport._io_writer.transport.abort()
                while there.last_attempt == tried:
                    await asyncio.sleep(0)
                for _ in range(steps):
                    await asyncio.sleep(0)
            for _ in range(10):
                await asyncio.sleep(0)
            assert not asyncio.all_tasks() - before, f"ended after {steps} steps, it goes on"


async def test_what_was_said_before_a_flush_is_with_its_hearer_when_the_hearer_has_flushed_too(tmp_path: Path) -> None:
    with nats_server(tmp_path / "store") as server:
        async with (
            connect_bus(server.url, name="says", prefix="directpv.v1") as says,
            connect_bus(server.url, name="hears", prefix="directpv.v1") as hears,
        ):
            subscription = await hears.client.subscribe("test.flush")
            await hears.client.flush()
            for _ in range(20):
                for _ in range(500):
                    await says.client.publish("test.flush", bytes(1024))
                await says.client.flush()
                await hears.client.flush()
                assert subscription.pending_msgs == 500
                for _ in range(500):
                    await subscription.next_msg(timeout=5)


@pytest.mark.parametrize("what", ["request", "flush", "message"])
async def test_who_is_cancelled_in_the_moment_of_the_answer_does_not_go_on(tmp_path: Path, what: str) -> None:
    """At whatever moment: the cancellations fall on one after the other of the steps in which it is answered."""
    with nats_server(tmp_path / "store") as server:
        async with connect_bus(server.url, name="test", prefix="directpv.v1") as bus:
            client = bus.client

            async def echo(message: Msg) -> None:
                await message.respond(b"")

            await client.subscribe("echo", cb=echo)
            ear = await client.subscribe("said")
            await client.flush()

            async def work() -> None:
                if what == "request":
                    await client.request("echo")
                elif what == "flush":
                    await client.flush()
                else:
                    await client.publish("said")
                    await ear.next_msg()

            ended = 0
            for steps in range(400):
                task = asyncio.create_task(work())
                for _ in range(steps):
                    await asyncio.sleep(0)
                if not task.cancel():
                    ended += 1
                    continue
                await asyncio.wait({task}, timeout=10)
                assert task.cancelled(), f"cancelled after {steps} steps, it goes on"
            assert ended, "the answer never came in so many steps"


@pytest.mark.parametrize("welcome", [b"INFO []\r\n", b"INFO " + b"x" * 100_000], ids=["no object", "a long line"])
async def test_what_listens_in_place_of_the_server_for_a_while_does_not_end_the_attempts_to_reconnect(
    tmp_path: Path, welcome: bytes
) -> None:
    heard = asyncio.Event()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(welcome)
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()
        heard.set()

    with nats_server(tmp_path / "store") as server:
        async with connect_bus(server.url, name="test", prefix="directpv.v1") as bus:
            server.kill()
            async with await asyncio.start_server(answer, "127.0.0.1", server.port), asyncio.timeout(20):
                await heard.wait()
                with pytest.raises(Unavailable, match="no NATS server answers"):
                    async with connect_bus(server.url, name="other", prefix="directpv.v1", within=1):
                        pass
            server.start()
            async with asyncio.timeout(30):
                while not bus.connected:
                    await asyncio.sleep(0.05)
                await bus.client.flush()
