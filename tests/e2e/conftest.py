"""A cluster of three nodes, for all tests of a run, with the images of our services on every node."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from support.guest import network
from support.kube import images
from support.kube.cluster import Cluster

NODES = 3
DRIVES = 4
"""Of each node."""


@pytest.fixture(scope="session", autouse=True)
def _own_network() -> None:
    """All that these tests start lives in a network namespace of theirs."""
    network.enter()


@pytest.fixture(scope="session")
def archives() -> list[Path]:
    return images.build()


_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.failed:  # type: ignore[attr-defined]
        item.session.stash[_failed] = True
    return report


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster(_own_network: None, archives: list[Path], request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="directpv-e2e-") as path:
        store = await images.store(archives)
        cluster = Cluster(Path(path), store)
        up = False
        try:
            await asyncio.wait_for(cluster.start(NODES, DRIVES), 900)
            up = True
            yield cluster
        finally:
            await cluster.close(failed=not up or request.session.stash.get(_failed, False))
