"""A verb that asked a leader which dies is answered by the next one as soon as that says that it leads."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.reaching import session
from directpv_cli.reading.settings import settings
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.service import serve
from directpv_common.protocol.api import Controller
from support.nats import nats_server

PATIENCE = 50.0
"""Seconds of an attempt, nearly all that the test has."""


@pytest.fixture(autouse=True)
def levels() -> Iterator[None]:
    """Verbs silence the libraries of their process, which here is the test's."""
    loggers = [logging.getLogger(name) for name in ("directpv_common", "nats", "asyncio")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


async def test_a_verb_in_flight_is_answered_by_a_new_leader_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def ask(bus: Bus) -> m.NodePage:
        return await bus.call(Controller.NODE_LIST, m.ListNodes(), within=PATIENCE, attempt=PATIENCE)

    async def lists(_: m.ListNodes) -> m.NodePage:
        return m.NodePage(nodes=(), next="of the new leader")

    with nats_server(tmp_path / "nats") as server:
        monkeypatch.setattr(settings, "nats_url", server.url)
        async with connect_bus(server.url, name="test", prefix=settings.prefix) as bus:
            dies = await bus.subscribe(bus.subjects.controller("node", "list"), lambda _: asked.set())
            verb = asyncio.create_task(asyncio.to_thread(session.run, ask))
            await asyncio.wait_for(asked.wait(), 30)
            await dies()
            leads = serve(bus, name="new", description="leads", handlers={Controller.NODE_LIST: lists}, queue="new")
            async with leads:
                await bus.publish(bus.subjects.leader, m.Fence(registry="r", epoch=2))
                page = await asyncio.wait_for(verb, PATIENCE / 2)

    assert page.next == "of the new leader"
