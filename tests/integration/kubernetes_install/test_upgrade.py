"""Upgrades, with the real controller that replaces pods; there are no nodes, so the tests say how the pods are."""

import json
import time
from typing import Any

import pytest

from support.kube.apiserver import ApiServer

from .conftest import Plugin, controller_manager

pytestmark = pytest.mark.timeout(240)
SERVERS = ("-n", "directpv", "-l", "selector.directpv.min.io=nats")
OLD, NEXT = "directpv:old", "directpv:next"


def servers(apiserver: ApiServer) -> dict[str, dict[str, Any]]:
    return {pod["metadata"]["name"]: pod for pod in apiserver.objects("pods", *SERVERS)}


def image(pod: dict[str, Any]) -> str:
    return str(pod["spec"]["containers"][0]["image"]).rpartition("/")[2]


def make_ready(apiserver: ApiServer, name: str) -> None:
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    patch = json.dumps({"status": status})
    apiserver.kubectl("patch", "pod", name, *SERVERS[:2], "--subresource=status", "--type=merge", f"--patch={patch}")


def test_a_server_that_is_not_ready_when_an_upgrade_begins_is_upgraded(apiserver: ApiServer, plugin: Plugin) -> None:
    assert plugin("install", f"--image={OLD}").returncode == 0
    with controller_manager(apiserver, "statefulset-controller"):
        until(lambda: servers(apiserver).keys() == {"nats-0", "nats-1", "nats-2"}, "three pods are made")
        for name in ("nats-1", "nats-2"):
            make_ready(apiserver, name)

        assert plugin("install", f"--image={NEXT}").returncode == 0

        until(lambda: _is_next(apiserver, "nats-0"), "the server that is not ready has the new image")


def _is_next(apiserver: ApiServer, name: str) -> bool:
    pod = servers(apiserver).get(name)
    return pod is not None and image(pod) == NEXT


def until(condition: Any, what: str, within: float = 60.0) -> None:
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"not within {within:g} s: {what}"
        time.sleep(0.2)
