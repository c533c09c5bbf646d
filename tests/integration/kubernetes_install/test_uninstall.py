"""Removal from a real API server: data stay unless everything is asked for."""

import contextlib
import json
import urllib.error
from typing import Any

import pytest

from directpv_cli.install.applying.removal import DEFINITIONS
from directpv_cli.install.objects import manifest
from directpv_cli.install.objects.options import Options
from directpv_cli.install.objects.paths import Ref
from directpv_common.protocol.names import BUS_KEY_LABEL
from support.kube.apiserver import ApiServer

from .conftest import Plugin

pytestmark = pytest.mark.timeout(240)
KEPT = {str(ref) for ref in DEFINITIONS}


def there(server: ApiServer) -> set[str]:
    found = set()
    for ref in map(Ref.of, manifest.objects(Options())):
        with contextlib.suppress(urllib.error.HTTPError):
            server.get(ref.path)
            found.add(str(ref))
    return found


def drive(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "directpv.min.io/v1beta1",
        "kind": "DirectPVDrive",
        "metadata": {"name": name, "finalizers": ["directpv.min.io/data-protection", "directpv.min.io.volume/pvc-1"]},
        "status": {
            "totalCapacity": 1,
            "allocatedCapacity": 0,
            "freeCapacity": 1,
            "fsuuid": name,
            "status": "Ready",
            "topology": {},
        },
    }


def volume(name: str) -> dict[str, Any]:
    status = dict.fromkeys(("dataPath", "stagingTargetPath", "targetPath", "fsuuid"), "")
    sizes = dict.fromkeys(("totalCapacity", "availableCapacity", "usedCapacity"), 1)
    finalizers = ["directpv.min.io/pv-protection", "directpv.min.io/purge-protection"]
    return {
        "apiVersion": "directpv.min.io/v1beta1",
        "kind": "DirectPVVolume",
        "metadata": {"name": name, "finalizers": finalizers},
        "status": {**status, **sizes, "status": "Ready"},
    }


def test_records_stay_and_a_later_installation_finds_them(apiserver: ApiServer, plugin: Plugin) -> None:
    assert plugin("install").returncode == 0
    apiserver.apply(drive("6a7a8d5c-0000-4000-8000-000000000001"), volume("pvc-1"))
    done = plugin("uninstall")
    assert done.returncode == 0, done.stderr
    assert there(apiserver) == KEPT
    again = plugin("install")
    assert again.returncode == 0, again.stderr
    [found] = apiserver.objects("directpvdrives")
    assert len(found["metadata"]["finalizers"]) == 2


def test_dangerous_removes_protected_records_and_their_definitions(apiserver: ApiServer, plugin: Plugin) -> None:
    assert plugin("install").returncode == 0
    apiserver.apply(drive("6a7a8d5c-0000-4000-8000-000000000002"), volume("pvc-1"), volume("pvc-2"))
    done = plugin("uninstall", "--dangerous")
    assert done.returncode == 0, done.stderr
    assert "3 records deleted" in done.stderr
    assert there(apiserver) == set()


def pod(name: str, labels: dict[str, str]) -> dict[str, Any]:
    """Return a pod that its finalizer holds when it is deleted."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "directpv", "labels": labels, "finalizers": ["example.com/runs"]},
        "spec": {"containers": [{"name": "c", "image": "i"}], "serviceAccountName": "directpv-node"},
    }


def test_records_stay_while_pods_that_write_them_run(apiserver: ApiServer, plugin: Plugin) -> None:
    assert plugin("install").returncode == 0
    apiserver.apply(volume("pvc-1"))
    apiserver.apply(pod("controller-x", {"selector.directpv.min.io": "controller-controller"}))
    try:
        done = plugin("uninstall", "--dangerous", "--timeout=2")
        assert done.returncode == 1
        assert "controller-x" in done.stderr
        assert len(apiserver.objects("directpvvolumes")) == 1
    finally:
        patch = json.dumps({"metadata": {"finalizers": None}})
        apiserver.kubectl("patch", "pod", "controller-x", "-n", "directpv", "--type=merge", f"--patch={patch}")
        apiserver.kubectl("delete", "pod", "controller-x", "-n", "directpv", "--force", "--ignore-not-found")


def test_pods_of_others_and_pods_that_ended_keep_no_record(apiserver: ApiServer, plugin: Plugin) -> None:
    assert plugin("install").returncode == 0
    apiserver.apply(volume("pvc-1"), pod("theirs", {}), pod("ended", {"selector.directpv.min.io": "controller"}))
    where = ("--namespace=directpv", "--type=merge")
    ended = '--patch={"status":{"phase":"Succeeded"}}'
    apiserver.kubectl("patch", "pod", "ended", *where, "--subresource=status", ended)
    try:
        plugin("uninstall", "--dangerous", "--timeout=2")
        assert apiserver.attempt("get", "directpvvolumes").returncode, "the record and its definition are gone"
    finally:
        for name in ("theirs", "ended"):
            apiserver.kubectl("patch", "pod", name, *where, '--patch={"metadata":{"finalizers":null}}')


def test_nothing_there_is_fine(plugin: Plugin) -> None:
    assert plugin("uninstall").returncode == 0
    assert plugin("uninstall", "--dangerous").returncode == 0


def test_a_namespace_that_somebody_else_made_stays_with_what_is_in_it(apiserver: ApiServer, plugin: Plugin) -> None:
    apiserver.kubectl("create", "namespace", "directpv")
    try:
        apiserver.kubectl("label", "namespace", "directpv", "team=storage")
        apiserver.kubectl("create", "configmap", "theirs", "--namespace=directpv")
        for _ in range(2):
            assert plugin("install").returncode == 0
        apiserver.kubectl("create", "configmap", "bus-key.n1", "--namespace=directpv")
        apiserver.kubectl("label", "configmap", "bus-key.n1", "--namespace=directpv", f"{BUS_KEY_LABEL}=node")
        done = plugin("uninstall")
        assert done.returncode == 0, done.stderr
        assert there(apiserver) == {*KEPT, "Namespace directpv"}
        apiserver.kubectl("get", "configmap", "theirs", "--namespace=directpv")
        kept = apiserver.objects("configmaps", "--namespace=directpv", "-l", BUS_KEY_LABEL)
        assert kept == [], "keys of nodes go with the secret"
        labels = json.loads(apiserver.get("/api/v1/namespaces/directpv"))["metadata"]["labels"]
        assert labels == {"team": "storage", "kubernetes.io/metadata.name": "directpv"}, "nothing of ours is left"
    finally:
        apiserver.kubectl("delete", "namespace", "directpv", "--ignore-not-found")
