from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from integration.controller.harness import Controller, Process
from support.nats import NatsServer, nats_server


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
def controllers(nats: NatsServer, tmp_path: Path) -> Iterator[Callable[..., Controller]]:
    """Start controllers; all are ended with the test, and their logs are shown when it fails."""
    started: list[Process] = []

    def start(name: str = "c1", **settings: object) -> Controller:
        controller = Controller(nats, tmp_path, name, **settings)
        started.append(controller)
        return controller

    yield start
    for process in started:
        process.end()
        print(f"==== {process.log.name}", process.log.read_text(errors="replace"), sep="\n")


@pytest.fixture
async def bus(nats: NatsServer) -> AsyncIterator[Bus]:
    async with connect_bus(nats.url, name="test", prefix="directpv.v1") as connection:
        yield connection
