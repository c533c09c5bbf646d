"""Fixtures: each test has its own directory, devices, nats-server and agent, all gone afterwards."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from directpv_cli.local.ports import free_port
from directpv_common.bus import Bus, connect_bus
from integration.nodeagent_volumes.harness import AgentProcess, Loops, scratch
from support.nats import nats_server
from support.node_client import Client


@pytest.fixture
def base() -> Iterator[Path]:
    with scratch() as path:
        yield path


@pytest.fixture
def loops(base: Path) -> Iterator[Loops]:
    loops = Loops(base)
    try:
        yield loops
    finally:
        loops.close()


@pytest.fixture
def port(base: Path) -> Iterator[int]:
    port = free_port()
    with nats_server(base / "jetstream", port):
        yield port


@pytest.fixture
async def bus(port: int) -> AsyncIterator[Bus]:
    async with connect_bus(f"nats://127.0.0.1:{port}", name="test", prefix="directpv.v1") as bus:
        yield bus


@pytest.fixture
def agent(base: Path, loops: Loops, port: int) -> Iterator[AgentProcess]:
    """An agent that is not started yet; its mounts go before the devices do."""
    agent = AgentProcess(base, port)
    try:
        yield agent
    finally:
        agent.close()


@pytest.fixture
async def client(bus: Bus) -> Client:
    return Client(bus, "n1")


@pytest.fixture
async def device(loops: Loops, agent: AgentProcess, client: Client) -> str:
    """A blank device, under a running agent."""
    name = loops.make()
    agent.start(name)
    await agent.answers(client)
    return name


@pytest.fixture
async def drive(device: str, client: Client) -> str:
    """A formatted drive's FSUUID."""
    return await client.make_drive(device)


@pytest.fixture
def pods(base: Path) -> Path:
    """Where staging and target paths are."""
    path = base / "kubelet"
    path.mkdir()
    return path
