"""A real nats-server and the real gateway process for each test."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from integration.gateway.harness import END_SECONDS, NODE, Client, Gateway, client_of, serving
from support.nats import NatsServer, nats_server

Start = Callable[..., Gateway]


@pytest.fixture
def server(tmp_path: Path):
    with nats_server(tmp_path / "store") as running:
        yield running


@pytest.fixture
async def bus(server: NatsServer) -> AsyncIterator[Bus]:
    async with connect_bus(server.url, name="test", prefix="directpv.v1") as connected:
        yield connected


@pytest.fixture
def start(server: NatsServer, tmp_path: Path):
    """Start gateway processes; all are killed at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*argv: str, socket: Path | None = None, **settings: str) -> Gateway:
        path = socket or tmp_path / "csi.sock"
        log = tmp_path / f"gateway-{len(started)}.log"
        given = {"NATS_URL": server.url, "NODE_NAME": NODE, "CSI_SOCKET": str(path), "LOG_LEVEL": "DEBUG"} | settings
        env = os.environ | {f"DIRECTPV_{name}": value for name, value in given.items()}
        with log.open("wb") as target:
            process = subprocess.Popen([sys.executable, "-m", "directpv_csi_gateway", *argv], env=env, stderr=target)
        started.append(process)
        return Gateway(process, path, log)

    yield begin
    for process in started:
        process.kill()
        process.wait(END_SECONDS)


@pytest.fixture
async def gateway(start: Start) -> Gateway:
    return await serving(start())


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[Client]:
    async with client_of(gateway) as connected:
        yield connected
