from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from bench.many_nodes import cluster
from bench.scale import administrator
from integration.kubernetes_scheduling.world import World
from support.kube import programs
from support.nats import nats_server

GIB = 1024**3
DRIVES = [[50 * GIB] * 4, [100 * GIB], [100 * GIB] * 2, [100 * GIB] * 4]
"""Of four nodes: the first has much room, and no drive for a large claim."""
DOCUMENT = Path(__file__).parents[3] / "docs/storage-classes.md"


def documented() -> list[dict[str, object]]:
    """Return the profiles of the scheduler's configuration that the document shows."""
    lines = DOCUMENT.read_text().splitlines()
    start = lines.index("    apiVersion: kubescheduler.config.k8s.io/v1")
    end = lines.index("", start)
    profiles: list[dict[str, object]] = yaml.safe_load("\n".join(lines[start:end]))["profiles"]
    return profiles


@pytest.fixture(scope="session")
def built() -> None:
    """Build what is missing: that is no part of what a test may take."""
    programs.kubernetes("etcd", "kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler")
    programs.sidecars()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(built: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A cluster without machines, with the scheduler's profiles of the document."""
    work = tmp_path_factory.mktemp("scheduling")
    with nats_server(work / "nats") as nats:
        async with cluster(work, nats.url, administrator, DRIVES, documented()) as (running, client):
            yield World(running, client)
