"""Installation into a real API server, over nothing and over what others left."""

import json
from pathlib import Path
from typing import Any

import pytest

from directpv_cli.install.objects import manifest
from directpv_cli.install.objects.options import Options
from directpv_cli.install.objects.paths import Ref
from support.kube.apiserver import ApiServer

from . import upstream
from .conftest import Plugin

pytestmark = pytest.mark.timeout(240)
NODES, CONTROLLERS = Ref("DaemonSet", "node-server"), Ref("Deployment", "controller")


def live(server: ApiServer, ref: Ref) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.get(ref.path))
    return found


def versions(server: ApiServer) -> dict[str, str]:
    refs = [Ref.of(item) for item in manifest.objects(Options())]
    return {str(ref): live(server, ref)["metadata"]["resourceVersion"] for ref in refs}


def names(items: list[dict[str, Any]]) -> list[str]:
    return [item["name"] for item in items]


def create(server: ApiServer, items: list[dict[str, Any]]) -> None:
    """Create as upstream's plugin does: it is the manager of every field."""
    for item in items:
        server.kubectl("create", "--field-manager=kubectl-directpv", "-f", "-", input=json.dumps(item))


def roll_out(server: ApiServer, *refs: Ref) -> None:
    """Say what the controllers of workloads would say once all pods run: there are no nodes here."""
    for ref in refs:
        item = live(server, ref)
        count = item["spec"].get("replicas", 0)
        status = {"observedGeneration": item["metadata"]["generation"]}
        if ref.kind == "DaemonSet":
            status |= {
                "currentNumberScheduled": 0,
                "desiredNumberScheduled": 0,
                "numberMisscheduled": 0,
                "numberReady": 0,
            }
        else:
            status |= {"replicas": count, "updatedReplicas": count, "readyReplicas": count, "availableReplicas": count}
        patch = json.dumps({"status": status})
        where = ["--namespace=directpv", ref.kind, ref.name]
        server.kubectl("patch", *where, "--subresource=status", "--type=merge", f"--patch={patch}")


def may(server: ApiServer, account: str, verb: str, what: str, space: str = "directpv") -> bool:
    who = f"system:serviceaccount:directpv:{account}"
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": who,
            "groups": ["system:serviceaccounts", "system:serviceaccounts:directpv", "system:authenticated"],
            "resourceAttributes": {
                "verb": verb,
                "resource": what.partition(".")[0],
                "group": what.partition(".")[2],
                "namespace": space,
            },
        },
    }
    reply = server.kubectl("create", "-o", "json", "-f", "-", input=json.dumps(review))
    return bool(json.loads(reply)["status"]["allowed"])


def test_everything_is_accepted_and_a_repeat_changes_nothing(
    apiserver: ApiServer, plugin: Plugin, tmp_path: Path
) -> None:
    first = plugin("install")
    assert first.returncode == 0, first.stderr
    assert "node-server" in first.stdout
    [audit] = (tmp_path / ".directpv" / "audit").iterdir()
    assert audit.name.startswith("install.log.")
    assert audit.read_text().count("\n---\n") + 1 == len(manifest.objects(Options()))
    before = versions(apiserver)
    second = plugin("install", "--quiet")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert versions(apiserver) == before
    other = plugin("install", "--image=directpv:next")
    assert other.returncode == 0, other.stderr
    after = versions(apiserver)
    changed = {name for name in after if after[name] != before[name]}
    noted = "Namespace directpv"  # the flags
    assert changed == {"DaemonSet node-server", "Deployment controller", "StatefulSet nats", noted}


def test_accounts_may_do_what_their_programs_call_and_no_more(apiserver: ApiServer, plugin: Plugin) -> None:
    assert plugin("install").returncode == 0
    for what in ("secrets", "configmaps", "pods", "customresourcedefinitions.apiextensions.k8s.io", "deployments.apps"):
        assert not may(apiserver, "directpv-controller", "list", what, "default"), what
        assert not may(apiserver, "directpv-controller", "update", what, "default"), what
        if what != "configmaps":  # which keep the nodes' keys
            assert not may(apiserver, "directpv-controller", "update", what), what
    for what in ("directpvdrives.directpv.min.io", "persistentvolumes"):
        assert may(apiserver, "directpv-controller", "create", what)
    assert may(apiserver, "directpv-controller", "get", "pods", "default"), "labels of pods go onto their volumes"
    assert may(apiserver, "directpv-controller", "update", "leases.coordination.k8s.io")
    assert not may(apiserver, "directpv-controller", "update", "leases.coordination.k8s.io", "kube-system")
    for account in ("directpv-node", "directpv-nats"):
        for what in ("directpvdrives.directpv.min.io", "persistentvolumes", "pods", "secrets", "nodes"):
            assert not may(apiserver, account, "get", what)


def test_upstream_is_taken_over_and_nothing_of_its_pods_or_rights_remains(apiserver: ApiServer, plugin: Plugin) -> None:
    create(apiserver, upstream.objects())
    nodes, controllers = (live(apiserver, ref)["metadata"]["uid"] for ref in (NODES, CONTROLLERS))
    done = plugin("install")
    assert done.returncode == 0, done.stderr
    assert "may read every Secret, stays until" in done.stderr
    daemon_set, deployment = live(apiserver, NODES), live(apiserver, CONTROLLERS)
    assert daemon_set["metadata"]["uid"] == nodes, "pods of nodes are rolled, not torn down"
    assert deployment["metadata"]["uid"] != controllers
    pods = daemon_set["spec"]["template"]["spec"]
    assert names(pods["containers"]) == ["gateway", "nats", "agent", "node-driver-registrar", "liveness-probe"]
    assert "legacy-dir" not in names(pods["volumes"])
    assert [each["name"] for each in pods["containers"] if each["securityContext"].get("privileged")] == ["agent"]
    assert deployment["spec"]["strategy"]["type"] == "RollingUpdate"
    driver = live(apiserver, Ref("CSIDriver", "directpv-min-io"))
    assert set(driver["spec"]["volumeLifecycleModes"]) == {"Persistent", "Ephemeral"}
    assert driver["spec"]["storageCapacity"]
    storage_class = live(apiserver, Ref("StorageClass", "directpv-min-io"))["metadata"]
    assert storage_class["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true"
    assert "finalizers" not in storage_class
    assert may(apiserver, "directpv-min-io", "list", "secrets"), "old pods still run with these rights"
    roll_out(apiserver, NODES, CONTROLLERS, Ref("StatefulSet", "nats"))
    done = plugin("install")
    assert done.returncode == 0, done.stderr
    assert not may(apiserver, "directpv-min-io", "list", "secrets")


def test_a_workload_whose_selector_differs_is_replaced(apiserver: ApiServer, plugin: Plugin) -> None:
    create(apiserver, upstream.objects(node_selector="an-older-one"))
    uid = live(apiserver, NODES)["metadata"]["uid"]
    done = plugin("install")
    assert done.returncode == 0, done.stderr
    assert live(apiserver, NODES)["metadata"]["uid"] != uid


def test_edits_of_others_stay_unless_they_are_of_our_fields(apiserver: ApiServer, plugin: Plugin) -> None:
    assert plugin("install").returncode == 0
    apiserver.kubectl("label", "daemonset/node-server", "--namespace=directpv", "team=storage")
    apiserver.kubectl("set", "image", "deployment/controller", "--namespace=directpv", "controller=theirs:1")
    assert plugin("install").returncode == 0
    assert live(apiserver, NODES)["metadata"]["labels"]["team"] == "storage"
    assert "theirs:1" not in json.dumps(live(apiserver, CONTROLLERS)["spec"])


def test_what_an_administrator_chose_for_class_and_driver_is_kept(apiserver: ApiServer, plugin: Plugin) -> None:
    others = {item["kind"]: item for item in upstream.objects()}
    chosen = {**others["CSIDriver"]["spec"], "fsGroupPolicy": "File"}
    create(apiserver, [{**others["StorageClass"], "reclaimPolicy": "Retain"}, {**others["CSIDriver"], "spec": chosen}])
    done = plugin("install")
    assert done.returncode == 0, done.stderr
    assert "StorageClass directpv-min-io keeps its reclaimPolicy" in done.stderr
    assert live(apiserver, Ref("StorageClass", "directpv-min-io"))["reclaimPolicy"] == "Retain"
    assert live(apiserver, Ref("CSIDriver", "directpv-min-io"))["spec"]["fsGroupPolicy"] == "File"


def test_no_home_to_write_to_does_not_fail_the_installation(plugin: Plugin, tmp_path: Path) -> None:
    (tmp_path / ".directpv").write_text("in the way")
    done = plugin("install")
    assert done.returncode == 0, done.stderr
    assert "no audit file" in done.stderr


def test_without_rights_it_fails_with_the_servers_words(apiserver: ApiServer, plugin: Plugin) -> None:
    apiserver.kubectl("create", "serviceaccount", "nobody", "--namespace=default")
    try:
        done = plugin("install", f"--kubeconfig={apiserver.account('default', 'nobody')}")
    finally:
        apiserver.kubectl("delete", "serviceaccount", "nobody", "--namespace=default")
    assert done.returncode == 1
    assert "nodes is forbidden" in done.stderr
    assert "may not do that" in done.stderr


def test_pods_that_do_not_come_make_waiting_fail(plugin: Plugin) -> None:
    done = plugin("install", "--wait=1")
    assert done.returncode == 1
    assert "Deployment controller" in done.stderr
