"""Upgrades, with the real controller that replaces pods; there are no nodes, so the tests say how the pods are."""

import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from support.kube.apiserver import ApiServer

from .conftest import Plugin, controller_manager

pytestmark = pytest.mark.timeout(240)
SPACE = ("-n", "directpv")
SERVERS = (*SPACE, "-l", "selector.directpv.min.io=nats")
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


def test_servers_that_ask_who_somebody_is_come_after_a_controller_that_answers(
    apiserver: ApiServer, plugin: Plugin
) -> None:
    assert plugin("install", f"--image={OLD}").returncode == 0
    _ask_nobody(apiserver)
    command = [sys.executable, "-m", "directpv_cli", "install", f"--image={NEXT}"]
    environment = {**os.environ, "KUBECONFIG": str(apiserver.admin)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            until(lambda: _image_of(apiserver, "deployment/controller") == NEXT, "controllers are replaced")
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(5)
            assert _image_of(apiserver, "statefulset/nats") == OLD
            _say_ready(apiserver, updated=1, ready=2)  # of three, so that the new one may be the one that is not
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(5)
            assert _image_of(apiserver, "statefulset/nats") == OLD
            _say_ready(apiserver, updated=1, ready=3)
            assert running.wait(60) == 0
        finally:
            running.kill()
    assert _image_of(apiserver, "statefulset/nats") == NEXT


def test_pods_that_read_the_secret_are_replaced_when_it_is_another_one_and_only_then(
    apiserver: ApiServer, plugin: Plugin
) -> None:
    readers, others = ("deployment/controller", "statefulset/nats"), "daemonset/node-server"

    def installed() -> tuple[list[int], int]:
        assert plugin("install").returncode == 0
        return [_generation(apiserver, each) for each in readers], _generation(apiserver, others)

    before = installed()
    assert installed() == before
    another = json.dumps({"stringData": {"secret": "another one" * 8}})
    apiserver.kubectl("patch", "secret", "directpv-bus", *SPACE, "-p", another)
    after = installed()
    assert [was < now for was, now in zip(before[0], after[0], strict=True)] == [True, True]
    assert after[1] == before[1]


def _ask_nobody(apiserver: ApiServer) -> None:
    """Make the servers' definition as the version before had it, which has no secret."""
    template = _object(apiserver, "statefulset/nats")["spec"]["template"]["spec"]
    volumes = [each for each in template["volumes"] if each["name"] != "bus"]
    (container,) = template["containers"]
    mounts = [each for each in container["volumeMounts"] if each["name"] != "bus"]
    there = "/spec/template/spec"
    patch = [
        {"op": "replace", "path": f"{there}/volumes", "value": volumes},
        {"op": "replace", "path": f"{there}/containers/0/volumeMounts", "value": mounts},
    ]
    apiserver.kubectl("patch", "statefulset", "nats", *SPACE, "--type=json", "-p", json.dumps(patch))


def _say_ready(apiserver: ApiServer, *, updated: int, ready: int) -> None:
    status = {
        "observedGeneration": _generation(apiserver, "deployment/controller"),
        "replicas": 3,
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": ready,
    }
    patch = json.dumps({"status": status})
    apiserver.kubectl("patch", "deployment", "controller", *SPACE, "--subresource=status", "--type=merge", "-p", patch)


def _object(apiserver: ApiServer, name: str) -> dict[str, Any]:
    return dict(json.loads(apiserver.kubectl("get", name, *SPACE, "-o", "json")))


def _generation(apiserver: ApiServer, name: str) -> int:
    return int(_object(apiserver, name)["metadata"]["generation"])


def _image_of(apiserver: ApiServer, name: str) -> str:
    return image(_object(apiserver, name)["spec"]["template"])


def _is_next(apiserver: ApiServer, name: str) -> bool:
    pod = servers(apiserver).get(name)
    return pod is not None and image(pod) == NEXT


def until(condition: Any, what: str, within: float = 60.0) -> None:
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"not within {within:g} s: {what}"
        time.sleep(0.2)
