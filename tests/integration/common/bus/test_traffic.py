"""What a process counts of the bus is what happened on it, and shows in its metrics."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry, generate_latest

import directpv_common.protocol.messages as m
from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.events import Events
from directpv_common.bus.service import serve
from directpv_common.process.lifecycle import background
from directpv_common.process.own_metrics import register_own
from directpv_common.process.traffic import SECONDS, TRAFFIC, Times
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import DeadlineExceeded, FailedPrecondition
from support.nats import NatsServer, nats_server

ENDPOINT = Controller.DRIVE_LIST.name


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path / "store") as running:
        yield running


def shown() -> dict[str, float]:
    """Return all series of a process by name and labels."""
    registry = CollectorRegistry()
    register_own(registry, "test", lambda: True)
    lines = generate_latest(registry).decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def growth(before: dict[str, float], name: str, **labels: str) -> float:
    text = ",".join(f'{key}="{value}"' for key, value in {"component": "test", **labels}.items())
    series = f"{name}{{{text}}}"
    return shown().get(series, 0.0) - before.get(series, 0.0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def test_each_request_is_counted_once_with_its_time_whether_it_is_answered_or_refused(server: NatsServer) -> None:
    async def listed(request: m.ListDrives) -> m.DrivePage:
        if request.limit == 1:
            raise FailedPrecondition("of a test")
        await asyncio.sleep(0.3)
        return m.DrivePage(drives=())

    before = shown()
    async with connect_bus(server.url, name="t", prefix="directpv.v1") as bus:
        handlers = {Controller.DRIVE_LIST: listed}
        async with serve(bus, name="c", description="t", queue="q", handlers=handlers):
            await bus.call(Controller.DRIVE_LIST, m.ListDrives())
            with pytest.raises(FailedPrecondition):
                await bus.call(Controller.DRIVE_LIST, m.ListDrives(limit=1))
    name = "directpv_bus_request_seconds"
    assert growth(before, f"{name}_count", endpoint=ENDPOINT) == 2
    assert growth(before, f"{name}_sum", endpoint=ENDPOINT) >= 0.3
    assert growth(before, f"{name}_bucket", endpoint=ENDPOINT, le="0.25") == 1
    assert growth(before, "directpv_bus_requests_late_total", endpoint=ENDPOINT) == 0


async def test_a_request_that_nobody_answers_is_late_each_time_and_no_answer_is_counted(server: NatsServer) -> None:
    before = shown()
    async with connect_bus(server.url, name="t", prefix="directpv.v1") as bus:
        await bus.subscribe(bus.subjects.controller("drive", "list"), _ignore)
        with pytest.raises(DeadlineExceeded):
            await bus.call(Controller.DRIVE_LIST, m.ListDrives(), within=1.0, attempt=0.4)
    assert growth(before, "directpv_bus_requests_late_total", endpoint=ENDPOINT) == 3
    assert growth(before, "directpv_bus_request_seconds_count", endpoint=ENDPOINT) == 0


def _ignore(_: Msg) -> None: ...


async def test_a_connection_that_was_made_anew_and_messages_that_nobody_got_are_counted(server: NatsServer) -> None:
    before = shown()
    async with connect_bus(server.url, name="t", prefix="directpv.v1") as bus:
        await bus.publish("directpv.v1.metrics.n1", "x" * (bus.client.max_payload + 1))
        assert growth(before, "directpv_bus_messages_dropped_total", why="large") == 1
        events = Events(bus, "n1")
        async with background(events.run()):
            events.emit("drive", "lost", "d1")
            await until(lambda: TRAFFIC.buffered == 0)
            server.kill()
            await until(lambda: not bus.connected)
            for number in range(7):
                events.emit("drive", "lost", f"d{number}")
            assert shown()['directpv_bus_events_buffered{component="test"}'] == 7
            server.start()
            await until(lambda: growth(before, "directpv_bus_reconnects_total") == 1)
            await until(lambda: TRAFFIC.buffered == 0)


async def test_messages_that_we_do_not_read_in_time_are_counted(server: NatsServer) -> None:
    before = shown()
    async with (
        connect_bus(server.url, name="slow", prefix="directpv.v1") as slow,
        connect_bus(server.url, name="quick", prefix="directpv.v1") as quick,
    ):
        over = asyncio.Event()

        async def read(_: Msg) -> None:
            await over.wait()

        await slow.client.subscribe("x", cb=read, pending_msgs_limit=5)
        await slow.client.flush()
        for _ in range(20):
            await quick.client.publish("x", b"")
        await quick.client.flush()
        try:
            await until(lambda: growth(before, "directpv_bus_messages_dropped_total", why="slow") >= 1)
        finally:
            over.set()


def test_a_time_is_in_the_bucket_whose_bound_it_does_not_exceed_and_in_all_larger_ones() -> None:
    times = Times()
    for seconds in (0.001, 0.0011, 100.0):
        times.add(seconds)
    found = dict(times.cumulative())
    assert (found["0.001"], found["0.0025"], found[str(SECONDS[-1])], found["+Inf"]) == (1, 2, 2, 3)
