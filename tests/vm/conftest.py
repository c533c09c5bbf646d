"""Guests on a private network, a NATS server beside them, and what they tell on the bus."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from support.guest import network, report
from support.guest.lab import Lab, Tap
from support.guest.report import pytest_runtest_makereport  # noqa: F401
from support.nats import NatsServer, nats_server


@pytest.fixture(scope="session", autouse=True)
def _own_network() -> None:
    """All that these tests start lives in a network namespace of theirs."""
    network.enter()


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="directpv-vm-") as path:
        yield Path(path)


@pytest.fixture
def nats(directory: Path) -> Iterator[NatsServer]:
    with nats_server(directory / "jetstream", host=network.HOST) as server:
        yield server


@pytest.fixture
async def bus(nats: NatsServer) -> AsyncIterator[Bus]:
    async with connect_bus(nats.url, name="test", prefix="directpv.v1") as bus:
        yield bus


@pytest.fixture
async def lab(directory: Path, nats: NatsServer, bus: Bus, request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    lab = Lab(directory, nats, bus)
    try:
        yield lab
    finally:
        await lab.close(failed=request.node.stash.get(report.failed, True))


@pytest.fixture
async def tap(bus: Bus) -> AsyncIterator[Tap]:
    tap = Tap()
    unsubscribe = await bus.subscribe(bus.subjects.all_events, tap.hear)
    yield tap
    await unsubscribe()
