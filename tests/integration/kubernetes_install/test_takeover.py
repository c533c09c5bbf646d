"""Installation over what other tools put there: pods are ours alone afterwards, whoever managed the fields."""

import json
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import pytest

from directpv_cli.install.applying.takeover import POD_LISTS
from directpv_cli.install.objects import manifest
from directpv_cli.install.objects.options import Options
from directpv_cli.install.objects.paths import Ref
from support.kube.apiserver import ApiServer

from . import upstream
from .conftest import Plugin
from .test_install import CONTROLLERS, NODES, create, live
from .test_upgrade import until

pytestmark = pytest.mark.timeout(240)
SERVERS = Ref("StatefulSet", "nats")
OURS = {Ref.of(item): item for item in manifest.objects(Options())}


def parts(item: dict[str, Any]) -> dict[str, list[str]]:
    """Return the names in each list of a workload's pods."""
    pods = item["spec"]["template"]["spec"]
    return {key: [each["name"] for each in pods.get(key) or []] for key in POD_LISTS}


def check_ours_alone(server: ApiServer) -> None:
    for ref in (NODES, CONTROLLERS, SERVERS):
        now = live(server, ref)
        assert parts(now) == parts(OURS[ref]), f"{ref} holds our containers and volumes, and no others"
        privileged = [
            each["name"]
            for each in now["spec"]["template"]["spec"]["containers"]
            if each["securityContext"].get("privileged")
        ]
        assert privileged == (["agent"] if ref == NODES else [])


def put(server: ApiServer, items: list[dict[str, Any]], way: str) -> None:
    """Create as a tool does that is named by its manager, or by how kubectl is used."""
    text = "\n---\n".join(map(json.dumps, items))
    if way.startswith("apply:"):
        server.kubectl("apply", "--server-side", f"--field-manager={way.partition(':')[2]}", "-f", "-", input=text)
    else:
        server.kubectl("create", f"--field-manager={way}", "-f", "-", input=text)


def earlier_ones() -> list[dict[str, Any]]:
    """Return our workloads as an earlier version may have had them, each with a container and a volume more."""
    items = [deepcopy(OURS[ref]) for ref in (Ref("Namespace", "directpv"), NODES, CONTROLLERS, SERVERS)]
    for item in items[1:]:
        pods = item["spec"]["template"]["spec"]
        pods["initContainers"] = [{"name": "first", "image": "old:1"}]
        pods["containers"].append({"name": "dropped", "image": "old:1", "securityContext": {"privileged": True}})
        pods["volumes"].append({"name": "dropped", "emptyDir": {}})
    return items


@pytest.mark.parametrize(
    "way", ["kubectl-directpv_4.1.6_linux_amd64", "apply:argocd-controller", "apply:kubectl", "helm"]
)
def test_nothing_of_upstreams_pods_stays_whichever_tool_installed_it(
    apiserver: ApiServer, plugin: Plugin, way: str
) -> None:
    put(apiserver, upstream.objects(), way)
    uid = live(apiserver, NODES)["metadata"]["uid"]
    done = plugin("install")
    assert done.returncode == 0, done.stderr
    check_ours_alone(apiserver)
    assert live(apiserver, NODES)["metadata"]["uid"] == uid, "pods of nodes are rolled, not torn down"


@pytest.mark.parametrize("way", ["apply:kubectl", "helm"])
def test_what_a_later_version_of_ours_has_no_more_goes(apiserver: ApiServer, plugin: Plugin, way: str) -> None:
    put(apiserver, earlier_ones(), way)
    done = plugin("install")
    assert done.returncode == 0, done.stderr
    check_ours_alone(apiserver)


def test_what_no_manager_owns_goes_too(apiserver: ApiServer, plugin: Plugin) -> None:
    create(apiserver, [*earlier_ones()[:1], *upstream.objects()[1:7], *earlier_ones()[2:]])
    nobody = json.dumps({"metadata": {"managedFields": [{}]}})
    for ref in (NODES, CONTROLLERS, SERVERS):
        apiserver.kubectl("patch", "--namespace=directpv", *ref, "--type=merge", f"--patch={nobody}")
        assert not live(apiserver, ref)["metadata"].get("managedFields")
    done = plugin("install")
    assert done.returncode == 0, done.stderr
    check_ours_alone(apiserver)


def test_labels_and_restarts_of_others_stay_and_a_repeat_changes_nothing(apiserver: ApiServer, plugin: Plugin) -> None:
    assert plugin("install").returncode == 0
    where = ("daemonset/node-server", "--namespace=directpv")
    apiserver.kubectl("label", *where, "team=storage")
    apiserver.kubectl("rollout", "restart", *where)
    before = live(apiserver, NODES)
    assert plugin("install").returncode == 0
    now = live(apiserver, NODES)
    assert now["metadata"]["labels"]["team"] == "storage"
    assert now["spec"] == before["spec"], "pods are not restarted"
    again = plugin("install")
    assert "0 of" in again.stderr


def test_objects_of_a_helm_release_are_told_of(apiserver: ApiServer, plugin: Plugin) -> None:
    assert plugin("install").returncode == 0
    apiserver.kubectl("annotate", "daemonset/node-server", "--namespace=directpv", "meta.helm.sh/release-name=storage")
    done = plugin("install")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Helm release storage") == 1


def owned(kind: str, name: str, owner: dict[str, Any], spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return what a controller makes for ``owner``."""
    by = {key: owner[key] for key in ("apiVersion", "kind")} | {"blockOwnerDeletion": True, "controller": True}
    by |= {key: owner["metadata"][key] for key in ("name", "uid")}
    version = "v1" if kind == "Pod" else "apps/v1"
    meta = {"name": name, "namespace": "directpv", "labels": {"app": "old"}, "ownerReferences": [by], **more}
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec}


def test_our_controllers_come_when_upstreams_pods_are_gone(apiserver: ApiServer, plugin: Plugin) -> None:
    create(apiserver, upstream.objects())
    guard = '--patch={"metadata":{"finalizers":["directpv-min-io/delete-protection"]}}'
    apiserver.kubectl("patch", "--namespace=directpv", *CONTROLLERS, "--type=merge", guard)
    pods = {"containers": [{"name": "c", "image": "i"}], "serviceAccountName": "directpv-min-io"}
    template = {"metadata": {"labels": {"app": "old"}}, "spec": pods}
    replicas = {"replicas": 1, "selector": {"matchLabels": {"app": "old"}}, "template": template}
    apiserver.apply(owned("ReplicaSet", "old", live(apiserver, CONTROLLERS), replicas))
    sets = json.loads(apiserver.kubectl("get", "replicaset", "old", "--namespace=directpv", "-o", "json"))
    apiserver.apply(owned("Pod", "old", sets, pods, finalizers=["example.com/ends"]))
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(plugin, "install")
        try:
            until(lambda: "deletionTimestamp" in pod_metadata(apiserver), "upstream's pod is told to end")
            before = live(apiserver, CONTROLLERS)
            assert "deletionTimestamp" in before["metadata"], "the Deployment stays as long as its pod"
        finally:
            end = '--patch={"metadata":{"finalizers":null}}'
            apiserver.kubectl("patch", "pod", "old", "--namespace=directpv", "--type=merge", end)
        assert done.result().returncode == 0, done.result().stderr
    assert live(apiserver, CONTROLLERS)["metadata"]["uid"] != before["metadata"]["uid"]
    check_ours_alone(apiserver)


def test_pods_of_upstreams_controllers_on_a_node_that_is_away_are_not_waited_for(
    apiserver: ApiServer, plugin: Plugin
) -> None:
    create(apiserver, upstream.objects())
    apiserver.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gone"}})
    deployment = live(apiserver, CONTROLLERS)
    labels = deployment["spec"]["selector"]["matchLabels"]
    pods = {"containers": [{"name": "c", "image": "i"}], "serviceAccountName": "directpv-min-io", "nodeName": "gone"}
    template = {"metadata": {"labels": labels}, "spec": {**pods, "nodeName": ""}}
    replicas = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    apiserver.apply(owned("ReplicaSet", "old", deployment, replicas))
    sets = json.loads(apiserver.kubectl("get", "replicaset", "old", "--namespace=directpv", "-o", "json"))
    apiserver.apply(owned("Pod", "old", sets, pods, labels=labels))
    try:
        done = plugin("install")
        assert done.returncode == 0, done.stderr
        assert "Pod old of the earlier Deployment" in done.stderr
        assert "deletionTimestamp" in pod_metadata(apiserver), "it ends when its node is back"
        check_ours_alone(apiserver)
    finally:
        apiserver.kubectl("delete", "pod", "old", "--namespace=directpv", "--grace-period=0", "--force")
        apiserver.kubectl("delete", "node", "gone")


def pod_metadata(server: ApiServer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.get("/api/v1/namespaces/directpv/pods/old"))["metadata"]
    return found
