"""The gateway's connection: a call that a leader took along is answered by the next one, as soon as that leads."""

import asyncio
from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.line import Line
from directpv_common.bus.service import serve
from directpv_common.process.lifecycle import background
from directpv_common.protocol.api import Controller
from support.nats import nats_server

PATIENCE = 50.0
"""Seconds of an attempt, nearly all that the test has."""


async def test_calls_of_a_gateway_reach_a_new_leader_as_soon_as_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Bus.call.__kwdefaults__ is not None
    monkeypatch.setitem(Bus.call.__kwdefaults__, "attempt", PATIENCE)
    asked = asyncio.Event()

    async def deleted(_: m.VolumeId) -> m.Done:
        return m.Done()

    with nats_server(tmp_path / "nats") as server:
        line = Line(server.url, name="gateway", prefix="directpv.v1")
        async with connect_bus(server.url, name="test", prefix="directpv.v1") as bus, background(line.run()):
            dies = await bus.subscribe(bus.subjects.controller("volume", "delete"), lambda _: asked.set())
            calling = asyncio.create_task(line.call(Controller.VOLUME_DELETE, m.VolumeId(name="v"), within=PATIENCE))
            await asyncio.wait_for(asked.wait(), 30)
            await dies()
            leads = serve(bus, name="new", description="x", handlers={Controller.VOLUME_DELETE: deleted}, queue="new")
            async with leads:
                await bus.publish(bus.subjects.leader, m.Fence(registry="r", epoch=2))
                assert await asyncio.wait_for(calling, PATIENCE / 2) == m.Done()
