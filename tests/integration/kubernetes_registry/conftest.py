from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from integration.kubernetes_registry.harness import Cluster, define, installation
from support.kube.apiserver import ApiServer
from support.nats import NatsServer, nats_server


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture(scope="session")
def defined(apiserver: ApiServer) -> ApiServer:
    """The API server, with our definitions established."""
    define(apiserver)
    return apiserver


@pytest.fixture
def cluster(defined: ApiServer, nats: NatsServer, tmp_path: Path) -> Iterator[Cluster]:
    """An installation of the test's own."""
    with installation(defined, nats, tmp_path) as cluster:
        yield cluster


@pytest.fixture
async def bus(nats: NatsServer) -> AsyncIterator[Bus]:
    async with connect_bus(nats.url, name="test", prefix="directpv.v1") as connection:
        yield connection
