"""A server takes no more of anybody than is good for the others, whatever he may say and hear."""

import asyncio
import json
from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_common.access.limits import PAYLOAD, SUBSCRIPTIONS
from directpv_common.access.nkey import Nkey
from directpv_common.bus.service import serve
from directpv_common.protocol.api import Controller
from integration.access.conftest import SUBJECTS, World, settings
from support.nats import NatsServer, nats_server

SECONDS = 60
AGENT = "agent of n1"


class Raw:
    """A connection that obeys no limits by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def until(self, *words: bytes) -> bytes:
        """Return the first line that has one of ``words``, or all there was when the server hung up."""
        said = b""
        async with asyncio.timeout(SECONDS):
            try:
                while line := await self.reader.readline():
                    said = line
                    if any(word in line for word in words):
                        break
            except ConnectionResetError:
                pass
        return said

    async def ended(self) -> bool:
        try:
            async with asyncio.timeout(SECONDS):
                while await self.reader.read(1 << 16):
                    pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
        return True


async def raw(server: NatsServer, key: Nkey) -> Raw:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    info = json.loads((await reader.readline()).removeprefix(b"INFO "))
    options = {"nkey": key.public, "sig": key.answer(info["nonce"]).decode(), "verbose": False, "headers": True}
    writer.write(f"CONNECT {json.dumps(options)}\r\nPING\r\n".encode())
    made = Raw(reader, writer)
    assert await made.until(b"PONG", b"-ERR") == b"PONG\r\n"
    return made


async def others_go_on(world: World) -> None:
    async def listed(_: m.ListDrives) -> m.DrivePage:
        return m.DrivePage(drives=())

    controller, admin = world.buses["controller"], world.buses["administrator"]
    async with serve(controller, name="c", description="t", queue="q", handlers={Controller.DRIVE_LIST: listed}):
        assert await admin.call(Controller.DRIVE_LIST, m.ListDrives(), within=SECONDS) == m.DrivePage(drives=())


@pytest.mark.parametrize(
    "sent",
    [
        b"PUB %s %d\r\n" % (SUBJECTS.state("n1").encode(), PAYLOAD + 1),
        b"HPUB %s 12 %d\r\n" % (SUBJECTS.state("n1").encode(), PAYLOAD + 13),
        b"PUB %s\r\n" % (b"x" * (1 << 16)),
        b"PUB %s -1\r\n" % SUBJECTS.state("n1").encode(),
        b"nonsense\r\n",
    ],
    ids=["too large", "too large with headers", "too long a line", "a size below nothing", "no word of the protocol"],
)
async def test_who_sends_what_is_too_large_or_malformed_is_cut_off_and_others_go_on(world: World, sent: bytes) -> None:
    bad = await raw(world.server, world.keys[AGENT])
    try:
        bad.writer.write(sent)
        assert await bad.ended()
        await others_go_on(world)
        assert world.buses[AGENT].connected
    finally:
        bad.writer.close()


async def test_what_is_as_large_as_it_may_be_is_heard(world: World) -> None:
    heard = await world.buses["controller"].client.subscribe(SUBJECTS.all_states)
    await world.buses["controller"].client.flush()
    await world.buses[AGENT].client.publish(SUBJECTS.state("n1"), b"x" * PAYLOAD)
    assert len((await heard.next_msg(timeout=SECONDS)).data) == PAYLOAD


async def test_who_wants_to_hear_more_than_anybody_needs_is_told_no_and_others_go_on(world: World) -> None:
    bad = await raw(world.server, world.keys[AGENT])
    try:
        subject = SUBJECTS.node("n1", "drive", "x").encode()
        bad.writer.write(b"".join(b"SUB %s %d\r\n" % (subject, number) for number in range(SUBSCRIPTIONS)))
        bad.writer.write(b"PING\r\n")
        assert await bad.until(b"PONG", b"-ERR") == b"PONG\r\n"
        bad.writer.write(b"SUB %s %d\r\n" % (subject, SUBSCRIPTIONS))
        assert b"maximum subscriptions exceeded" in (await bad.until(b"-ERR")).lower()
        await others_go_on(world)
    finally:
        bad.writer.close()


async def test_who_does_not_read_what_he_asked_for_is_cut_off_and_others_go_on(
    tmp_path: Path, keys: dict[str, Nkey]
) -> None:
    small = settings(keys).replace("max_pending: ", f"write_deadline: 2s\nmax_pending: {4 * PAYLOAD} # ")
    with nats_server(tmp_path / "deaf", settings=small) as server:
        bad = await raw(server, keys["observer"])
        try:
            bad.writer.write(b"SUB %s 1\r\nPING\r\n" % SUBJECTS.all_states.encode())
            assert await bad.until(b"PONG", b"-ERR") == b"PONG\r\n"
            agent = await raw(server, keys[AGENT])
            other = await raw(server, keys["agent of n2"])
            subject, part = SUBJECTS.state("n1").encode(), b"x" * (PAYLOAD // 2)
            for _ in range(64):
                agent.writer.write(b"PUB %s %d\r\n%s\r\n" % (subject, len(part), part))
                await agent.writer.drain()
            agent.writer.write(b"PING\r\n")
            assert await agent.until(b"PONG", b"-ERR") == b"PONG\r\n"
            other.writer.write(b"PING\r\n")
            assert await other.until(b"PONG", b"-ERR") == b"PONG\r\n"
            assert await bad.ended()
            for each in (agent, other):
                each.writer.close()
        finally:
            bad.writer.close()
