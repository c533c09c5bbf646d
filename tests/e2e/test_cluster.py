"""The cluster itself: what the other tests stand on."""

from typing import Any

import pytest

from support.kube.cluster import Cluster

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1800)]
IMAGE = "docker.io/library/busybox:stable"


def _pods(name: str, script: str) -> dict[str, Any]:
    labels = {"app": name}
    container = {"name": "main", "image": IMAGE, "imagePullPolicy": "Never", "command": ["sh", "-c", script]}
    probe = {"exec": {"command": ["test", "-e", "/ready"]}, "periodSeconds": 1}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [{**container, "readinessProbe": probe}]},
            },
        },
    }


async def test_a_pod_runs_on_every_node_and_reaches_the_api_server_by_its_name(cluster: Cluster) -> None:
    known = "nslookup kubernetes.default.svc.cluster.local | grep $KUBERNETES_SERVICE_HOST"
    reached = "nc -w 3 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT </dev/null"
    script = f"until {known} && {reached}; do sleep 1; done; touch /ready; exec tail -f /dev/null"
    nodes = cluster.api.objects("nodes")
    cluster.api.apply(_pods("reach", script))
    pods = await cluster.pods_ready("app=reach", len(nodes))
    assert {pod["spec"]["nodeName"] for pod in pods} == {node["metadata"]["name"] for node in nodes}
    cluster.api.kubectl("delete", "daemonset", "reach", "--wait=false")
