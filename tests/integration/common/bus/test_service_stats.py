"""What ``nats micro stats`` shows of a service, on a real nats-server."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.service import Handlers, Unanswered, serve
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import DirectPVError, NotFound
from support.nats import nats_server

VOLUME = m.VolumeId(name="pvc-1")


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    with nats_server(tmp_path / "store") as server:
        async with connect_bus(server.url, name="test", prefix="directpv.v1") as connected:
            yield connected


def serving(bus: Bus, handlers: Handlers):
    return serve(bus, name="directpv-test", description="test", handlers=handlers, queue="one")


async def stats(bus: Bus, endpoint: str = "volume-delete") -> dict[str, Any]:
    """Return what the service says of one endpoint, as the ``nats`` tool asks for it."""
    reply = await bus.client.request("$SRV.STATS.directpv-test", b"", timeout=5)
    return next(each for each in json.loads(reply.data)["endpoints"] if each["name"] == endpoint)


async def test_the_time_is_that_of_the_work(bus):
    worked = []

    async def slow(_: m.VolumeId) -> m.Done:
        begun = time.perf_counter_ns()
        await asyncio.sleep(0.05)
        worked.append(time.perf_counter_ns() - begun)
        return m.Done()

    async with serving(bus, {Controller.VOLUME_DELETE: slow}):
        for _ in range(3):
            await bus.call(Controller.VOLUME_DELETE, VOLUME)
        told = await stats(bus)

    assert (told["num_requests"], told["num_errors"], told["last_error"]) == (3, 0, "")
    assert told["processing_time"] >= sum(worked)
    assert told["average_processing_time"] == told["processing_time"] // 3
    assert told["data"] == {"running": 0}


async def test_an_error_of_the_work_is_counted_and_named(bus):
    async def missing(_: m.VolumeId) -> m.Done:
        raise NotFound("no volume pvc-1")

    async with serving(bus, {Controller.VOLUME_DELETE: missing}):
        with pytest.raises(NotFound):
            await bus.call(Controller.VOLUME_DELETE, VOLUME)
        told = await stats(bus)

    assert (told["num_requests"], told["num_errors"]) == (1, 1)
    assert told["last_error"] == "NotFound: no volume pvc-1"


async def test_a_bad_request_and_a_call_that_is_left_unanswered_are_errors_too(bus):
    async def deposed(_: m.VolumeId) -> m.Done:
        raise Unanswered("leads no longer")

    async with serving(bus, {Controller.VOLUME_DELETE: deposed}):
        with pytest.raises(DirectPVError):
            await bus.call(Controller.VOLUME_DELETE, m.VolumeId(name="../etc"))
        with pytest.raises(DirectPVError):
            await bus.call(Controller.VOLUME_DELETE, VOLUME, within=0.3, patient=False)
        told = await stats(bus)

    assert told["num_errors"] == told["num_requests"] >= 2
    assert "leads no longer" in told["last_error"]


async def test_a_call_that_runs_is_shown_as_running_and_not_as_fast(bus):
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def held(_: m.VolumeId) -> m.Done:
        begun.set()
        await may_end.wait()
        return m.Done()

    async with serving(bus, {Controller.VOLUME_DELETE: held}):
        call = asyncio.create_task(bus.call(Controller.VOLUME_DELETE, VOLUME))
        await begun.wait()
        during = await stats(bus)
        may_end.set()
        await call

    assert (during["num_requests"], during["average_processing_time"], during["data"]) == (1, 0, {"running": 1})
