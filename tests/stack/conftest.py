"""Stacks of these tests are mounted where no other test sees them."""

from collections.abc import AsyncIterator

import pytest

from support.cluster import Cluster, cluster
from support.mounts import own_mounts  # noqa: F401 - a fixture


@pytest.fixture
async def running() -> AsyncIterator[Cluster]:
    """A stack of one node with two drives, of one test; files that need another one have a fixture of that name."""
    with cluster(nodes=1, drives=2) as stack:
        await stack.initialise()
        yield stack
