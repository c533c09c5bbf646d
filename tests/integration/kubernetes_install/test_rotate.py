"""``rotate`` against a real API server; the test does what kubelets and controllers do when it is their turn."""

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from directpv_common.access.installation import ALSO, certificates_of, keys_of
from directpv_common.protocol.names import BUS_CA, BUS_CA_KEY, NODE_POD, SELECTOR
from integration.kubernetes_install.conftest import Plugin
from support.kube.apiserver import ApiServer

SPACE = ("-n", "directpv")
READERS = ("deployment/controller", "statefulset/nats")
NODES = "daemonset/node-server"
SECONDS = 110
REPLICAS = ("replicas", "updatedReplicas", "readyReplicas")
SCHEDULED = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady")


class Cluster:
    """What would run the pods."""

    def __init__(self, apiserver: ApiServer) -> None:
        self.apiserver = apiserver
        self.seen: list[tuple[str, str]] = []
        """Secrets, used and trusted as well, that pods were started with, in this order."""
        self.annotated: list[str] = []
        """What nodes' pods were told, each time when they were made."""
        self._started: dict[str, int] = {}

    def get(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.apiserver.kubectl("get", name, *SPACE, "-o", "json")))

    def secret(self) -> tuple[str, str]:
        data = self.get("secret/directpv-bus")["data"]
        used, also = (base64.b64decode(data.get(key, "")).decode() for key in ("secret", ALSO))
        return used, also

    def turn(self, *, nodes: bool = True) -> None:
        """Run once what is due: pods of the present templates, and what they publish."""
        for name in READERS:
            live = self.get(name)
            if self._started.get(name) == live["metadata"]["generation"]:
                continue
            if name == READERS[0]:
                self.seen.append(self.secret())
                self._publish()
            self._say(
                name, live, dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas"), live["spec"]["replicas"])
            )
        live = self.get(NODES)
        if nodes and self._started.get(NODES) != live["metadata"]["generation"]:
            self._node_pod(live["spec"]["template"]["metadata"]["annotations"])
            self._say(NODES, live, dict.fromkeys(SCHEDULED, 1) | {"numberMisscheduled": 0})

    def _say(self, name: str, live: dict[str, Any], status: dict[str, int]) -> None:
        generation = live["metadata"]["generation"]
        self._status(name, {"observedGeneration": generation, **status})
        self._started[name] = generation

    def _status(self, name: str, status: dict[str, Any]) -> None:
        patch = json.dumps({"status": status})
        self.apiserver.kubectl("patch", name, *SPACE, "--subresource=status", "--type=merge", "-p", patch)

    def _publish(self) -> None:
        text = certificates_of([keys_of(each) for each in self.secret() if each])
        about = {"name": BUS_CA, "namespace": "directpv"}
        self.apiserver.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": {BUS_CA_KEY: text}})

    def node(self, name: str, ready: str) -> None:
        self.apiserver.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        self._status(f"node/{name}", {"conditions": [{"type": "Ready", "status": ready}]})

    def pod(self, node: str, annotations: dict[str, str]) -> None:
        self.apiserver.attempt("delete", "pod", f"of-{node}", *SPACE, "--grace-period=0", "--force")
        spec: dict[str, Any] = {
            "nodeName": node,
            "containers": [{"name": "c", "image": "registry.invalid/none"}],
            "tolerations": [],
        }
        about = {
            "name": f"of-{node}",
            "namespace": "directpv",
            "labels": {SELECTOR: NODE_POD},
            "annotations": annotations,
        }
        spec["serviceAccountName"] = "directpv-node"
        spec["automountServiceAccountToken"] = False
        self.apiserver.apply({"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec})
        self._status(f"pod/of-{node}", {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})

    def _node_pod(self, annotations: dict[str, str]) -> None:
        self.annotated.append(json.dumps(annotations, sort_keys=True))
        self.pod("n1", annotations)

    @contextmanager
    def running(self, **how: bool) -> Iterator[None]:
        """Do what is due until the block ends."""
        over = threading.Event()

        def run() -> None:
            while not over.wait(0.3):
                self.turn(**how)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(60)


@pytest.fixture
def cluster(apiserver: ApiServer, plugin: Plugin) -> Iterator[Cluster]:
    assert plugin("install").returncode == 0
    made = Cluster(apiserver)
    made.node("n1", "True")
    made.node("away", "Unknown")
    made.turn()
    made.pod("away", {})
    made.seen.clear()
    try:
        yield made
    finally:
        for node in ("n1", "away"):
            apiserver.attempt("delete", "pod", f"of-{node}", *SPACE, "--grace-period=0", "--force")
            apiserver.attempt("delete", "node", node)


def test_the_secret_is_replaced_in_three_steps_each_of_which_all_pods_have_taken(
    cluster: Cluster, plugin: Plugin
) -> None:
    first = cluster.secret()
    generation = cluster.get(NODES)["metadata"]["generation"]
    with cluster.running():
        done = plugin("rotate", "--timeout=60s")
    assert done.returncode == 0, done.stderr
    used, also = cluster.secret()
    assert (len(used), also) == (64, "")
    assert used != first[0]
    assert cluster.seen == [(first[0], used), (used, first[0]), (used, "")]
    # nodes are told of certificates, which the second step leaves as they are
    assert cluster.get(NODES)["metadata"]["generation"] == generation + 2
    assert "rotation" not in json.dumps(cluster.get("secret/directpv-bus")["metadata"].get("annotations", {}))
    assert [step in done.stderr for step in ("1 of 3", "2 of 3", "3 of 3")] == [True] * 3

    generations = [cluster.get(name)["metadata"]["generation"] for name in (*READERS, NODES)]
    assert plugin("install").returncode == 0
    assert [cluster.get(name)["metadata"]["generation"] for name in (*READERS, NODES)] == generations


def test_what_was_killed_or_gave_up_goes_on_where_it_was(cluster: Cluster, plugin: Plugin, tmp_path: Path) -> None:
    first = cluster.secret()
    environment = {**os.environ, "HOME": str(tmp_path), "KUBECONFIG": str(cluster.apiserver.admin)}
    with cluster.running():
        for steps in (1, 2):
            running = subprocess.Popen([sys.executable, "-m", "directpv_cli", "rotate"], env=environment)
            end = time.monotonic() + SECONDS
            while len(cluster.seen) < steps and running.poll() is None:
                assert time.monotonic() < end
                time.sleep(0.05)
            running.kill()
            running.wait(10)
        assert cluster.secret()[1]
        done = plugin("rotate", "--timeout=60s")
    assert done.returncode == 0, done.stderr
    used, also = cluster.secret()
    assert also == ""
    assert cluster.seen == [(first[0], used), (used, first[0]), (used, "")]


def test_a_node_that_has_not_taken_it_is_named_and_the_former_secret_stays_good(
    cluster: Cluster, plugin: Plugin
) -> None:
    first = cluster.secret()
    with cluster.running(nodes=False):
        done = plugin("rotate", "--timeout=3s")
    assert done.returncode == 1
    assert "n1" in done.stderr
    assert "away" not in done.stderr
    assert "repeat to go on" in done.stderr
    used, also = cluster.secret()
    assert used == first[0]
    assert also


def test_a_second_secret_that_somebody_put_there_is_left_alone(cluster: Cluster, plugin: Plugin) -> None:
    there = json.dumps({"stringData": {ALSO: "of somebody " * 4}})
    cluster.apiserver.kubectl("patch", "secret", "directpv-bus", *SPACE, "-p", there)
    before = cluster.secret()
    done = plugin("rotate", "--timeout=3s")
    assert done.returncode == 1
    assert "take it out" in done.stderr
    assert cluster.secret() == before


def test_an_installation_whose_pods_do_not_all_run_is_not_begun_with(cluster: Cluster, plugin: Plugin) -> None:
    before = cluster.secret()
    generation = cluster.get(READERS[0])["metadata"]["generation"]
    cluster._status(
        READERS[0], {"observedGeneration": generation, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 2}
    )
    done = plugin("rotate", "--timeout=3s")
    assert done.returncode == 1
    assert "repeat when they do" in done.stderr
    assert cluster.secret() == before
