"""Stacks of these tests are mounted where no other test sees them."""

from collections.abc import AsyncIterator

import pytest

from directpv_cli.local.stack import Stack
from support.cluster import Cluster, cluster
from support.mounts import own_mounts  # noqa: F401 - a fixture
from support.ports import free_port


@pytest.fixture
async def running() -> AsyncIterator[Cluster]:
    """A stack of one node with two drives, of one test; files that need another one have a fixture of that name."""
    with cluster(nodes=1, drives=2) as stack:
        await stack.initialise()
        yield stack


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Have each program of a stack serve metrics on a port of its own."""
    found: dict[str, int] = {}
    usual = Stack._command

    def command(self: Stack, name: str) -> tuple[list[str], dict[str, str]]:
        argv, env = usual(self, name)
        if name == "nats":
            return argv, env
        found.setdefault(name, free_port())
        return argv, {
            **env,
            "DIRECTPV_HTTP_HOST": "127.0.0.1",
            "DIRECTPV_METRICS_PORT": str(found[name]),
            **({"DIRECTPV_METRICS_INTERVAL": "1"} if name.startswith("nodeagent") else {}),
        }

    monkeypatch.setattr(Stack, "_command", command)
    return found


@pytest.fixture
def exposing(ports: dict[str, int], running: Cluster) -> Cluster:
    """The stack, whose programs serve metrics, each on its port of ``ports``."""
    return running
