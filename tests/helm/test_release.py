"""The chart as a release in a real API server: installed, upgraded, removed; data stay."""

import json
from typing import Any

import pytest

from support.kube.apiserver import ApiServer

from .conftest import CHART, Release

pytestmark = pytest.mark.timeout(1800)
SECURITY = "pod-security.kubernetes.io/enforce"
DRIVE: dict[str, Any] = {
    "apiVersion": "directpv.min.io/v1beta1",
    "kind": "DirectPVDrive",
    "metadata": {"name": "6a7a8d5c-0000-4000-8000-000000000001", "finalizers": ["directpv.min.io/data-protection"]},
    "status": {
        "totalCapacity": 1,
        "allocatedCapacity": 0,
        "freeCapacity": 1,
        "fsuuid": "6a7a8d5c-0000-4000-8000-000000000001",
        "status": "Ready",
        "topology": {},
    },
}


def ours(server: ApiServer, kind: str) -> list[str]:
    return [item["metadata"]["name"] for item in server.objects(kind, "--namespace=directpv")]


def labels(server: ApiServer) -> dict[str, str]:
    namespace = json.loads(server.kubectl("get", "namespace", "directpv", "-o", "json"))
    return dict(namespace["metadata"]["labels"])


def test_a_release_in_the_namespace_of_its_objects_comes_changes_and_goes(server: ApiServer) -> None:
    release = Release(server, "directpv")
    said = release.act("install", str(CHART), "--create-namespace")
    assert ours(server, "daemonsets") == ["node-server"]
    assert f"kubectl label namespace directpv {SECURITY}=privileged" in said
    server.kubectl("label", "namespace", "directpv", f"{SECURITY}=privileged")

    said = release.act("upgrade", str(CHART), "--set=controller.replicas=1")
    [controller] = server.objects("deployments", "--namespace=directpv")
    assert controller["spec"]["replicas"] == 1
    assert "kubectl label" not in said

    release.act("uninstall")
    assert not [name for kind in ("daemonsets", "deployments", "statefulsets") for name in ours(server, kind)]
    assert labels(server)[SECURITY] == "privileged"


def test_a_release_elsewhere_makes_the_namespace_itself(server: ApiServer) -> None:
    said = Release(server, "default").act("install", str(CHART))
    assert labels(server)[SECURITY] == "privileged"
    assert ours(server, "daemonsets") == ["node-server"]
    assert "kubectl label" not in said


@pytest.mark.parametrize("namespace", ["directpv", "default"])
def test_records_and_their_definitions_outlive_a_release(namespace: str, server: ApiServer) -> None:
    release = Release(server, namespace)
    release.act("install", str(CHART), "--create-namespace")
    server.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    server.apply(DRIVE)
    release.act("uninstall")
    assert [drive["metadata"]["name"] for drive in server.objects("directpvdrives")] == [DRIVE["metadata"]["name"]]
    assert len(server.objects("customresourcedefinitions")) == 4


def test_a_pod_that_is_not_ready_is_evicted_though_no_disruption_is_left(server: ApiServer) -> None:
    Release(server, "directpv").act("install", str(CHART), "--create-namespace", "--set=controller.replicas=1")
    labels = {"selector.directpv.min.io": "controller-controller"}
    spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "c"}], "serviceAccountName": "directpv-controller"}
    metadata = {"name": "controller-1", "namespace": "directpv", "labels": labels}
    server.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    patch(server, "pod/controller-1", {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]})
    counts = {"expectedPods": 1, "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0}
    patch(server, "poddisruptionbudget/controller", {**counts, "observedGeneration": 1})
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "controller-1"}}
    path = "/api/v1/namespaces/directpv/pods/controller-1/eviction"
    done = server.attempt("create", "--raw", path, "-f", "-", input=json.dumps(eviction))
    assert done.returncode == 0, done.stderr


def patch(server: ApiServer, name: str, status: dict[str, Any]) -> None:
    text = json.dumps({"status": status})
    server.kubectl("patch", name, "--namespace=directpv", "--subresource=status", "--type=merge", f"--patch={text}")
