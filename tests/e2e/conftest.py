"""A cluster of three nodes, or of two, for all tests of a run, with the images of our services on every node."""

import asyncio
import contextlib
import os
import re
import subprocess
import tempfile
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from support.guest import network, report
from support.guest.report import pytest_runtest_makereport  # noqa: F401
from support.kube import images, programs
from support.kube.api import OwnApi
from support.kube.cluster import Cluster, OwnCluster
from support.kube.driver import Driver
from support.kube.workloads import Space

NODES = 3
FEW = 2
"""Nodes of a run without the tests marked ``long``: the others need no third, which takes a quarter of the time."""
DRIVES = 4
"""Of each node."""


LENT = os.environ.get("KUBECONFIG", "")
"""A cluster that somebody lends, with DirectPV and free drives in it: what breaks machines does not run there."""


@pytest.fixture(scope="session", autouse=True)
def archives(request: pytest.FixtureRequest) -> list[Path]:
    """The images; afterwards all that these tests start lives in a network namespace of theirs, without registries."""
    if LENT:
        return []
    programs.kubernetes()
    if request.config.getoption("markexpr") != "not long":
        with contextlib.suppress(subprocess.CalledProcessError):  # the test that needs it says what is missing
            programs.kubernetes("runc")
    archives = images.build()
    network.enter()
    return archives


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster(archives: list[Path], request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """A cluster of nodes in guests, or the one that ``KUBECONFIG`` names."""
    with tempfile.TemporaryDirectory(prefix="directpv-e2e-") as path:
        if LENT:
            yield Cluster(Path(path), OwnApi(programs.kubernetes("kubectl"), Path(LENT)))
            return
        began = time.monotonic()
        cluster = OwnCluster(Path(path), images.store(archives))
        print(f"\ndisk with images after {time.monotonic() - began:.1f} s")
        up = False
        try:
            began = time.monotonic()
            nodes = FEW if request.config.getoption("markexpr") == "not long" else NODES
            await asyncio.wait_for(cluster.start(nodes, DRIVES), 900)
            print(f"\ncluster up in {time.monotonic() - began:.1f} s")
            up = True
            yield cluster
        finally:
            await cluster.close(failed=not up or request.session.stash.get(report.failed, False))


@pytest.fixture(scope="session")
def machines(cluster: Cluster) -> OwnCluster:
    """The cluster, for tests that break its machines."""
    if not isinstance(cluster, OwnCluster):
        pytest.skip("breaks nodes and API server, which are somebody's that KUBECONFIG names")
    return cluster


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def driver(cluster: Cluster) -> Driver:
    """DirectPV installed by its plugin, and all disks made drives."""
    driver = Driver(cluster)
    if isinstance(cluster, OwnCluster):
        began = time.monotonic()
        await driver.install()
        print(f"\ninstalled in {time.monotonic() - began:.1f} s")
        await driver.make_drives(cluster.disks())
        print(f"drives made {time.monotonic() - began:.1f} s after the installation began")
    assert driver.drives("Ready"), "the cluster has no drives that are Ready"
    driver.check_books()
    return driver


@pytest_asyncio.fixture(loop_scope="session")
async def space(driver: Driver, request: pytest.FixtureRequest) -> AsyncIterator[Space]:
    """A namespace for one test; volumes that it leaves are deleted afterwards, and the books must be right then."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[:40].strip("-")
    space = Space(driver.cluster, f"{name}-{zlib.crc32(request.node.name.encode()):08x}")
    await space.make()
    yield space
    await space.clear()
    await driver.cluster.eventually(lambda: _right(driver), "drives and volumes agree")


def _right(driver: Driver) -> bool:
    """Two lists are read one after the other, so that they may differ for a moment."""
    try:
        driver.check_books()
    except AssertionError as error:
        print(error)
        return False
    return True
