"""Installing over what is there: whose fields become ours, and what must be replaced."""

from typing import Any

from directpv_cli.install.applying import takeover


def entry(manager: str, operation: str, fields: dict[str, Any], **more: str) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": "apps/v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        **more,
    }


def live(*entries: dict[str, Any], **pods: list[str]) -> dict[str, Any]:
    lists = {key: [{"name": name} for name in names] for key, names in pods.items()}
    return {"metadata": {"managedFields": list(entries)}, "spec": {"template": {"spec": lists}}}


def adopted(*entries: dict[str, Any], kind: str = "CSIDriver", **pods: list[str]) -> list[dict[str, Any]] | None:
    return takeover.adopted_fields({"kind": kind, "apiVersion": "v1", **live()}, live(*entries, **pods))


def test_fields_of_earlier_installers_are_joined_with_ours() -> None:
    ours = entry("kubectl-directpv", "Apply", {"f:spec": {"f:a": {}}})
    theirs = entry("kubectl-directpv_4.1.6_linux_amd64", "Update", {"f:spec": {"f:b": {}, "f:a": {}}})
    applied = entry("kubectl", "Apply", {"f:data": {"f:c": {}}})
    other = entry("kubectl-client-side-apply", "Update", {"f:metadata": {"f:finalizers": {}}})
    [now] = adopted(theirs, ours, applied, other) or []
    assert now["operation"] == "Apply"
    assert now["fieldsV1"] == {
        "f:spec": {"f:a": {}, "f:b": {}},
        "f:data": {"f:c": {}},
        "f:metadata": {"f:finalizers": {}},
    }


def test_fields_of_people_and_controllers_are_left_to_them() -> None:
    status = entry("kube-controller-manager", "Update", {"f:status": {}}, subresource="status")
    edited = entry("kubectl-edit", "Update", {"f:spec": {}})
    old_status = entry("kubectl-directpv", "Update", {"f:status": {}}, subresource="status")
    assert adopted(status, edited, old_status) is None
    theirs = entry("kubectl-create", "Update", {"f:data": {}})
    assert (adopted(status, edited, theirs) or [])[1:] == [status, edited]


def test_definitions_of_workloads_are_ours_whoever_wrote_them() -> None:
    status = entry("kube-controller-manager", "Update", {"f:status": {}}, subresource="status")
    scale = entry("hpa", "Update", {"f:spec": {"f:replicas": {}}}, subresource="scale")
    labels = {"f:labels": {"f:team": {}}}
    theirs = entry("flux", "Apply", {"f:metadata": labels, "f:spec": {"f:a": {}}, "f:status": {}})
    [now, *rest] = adopted(status, scale, theirs, kind="DaemonSet") or []
    assert now["fieldsV1"] == {"f:spec": {"f:a": {}}}
    assert rest == [status, scale, {**theirs, "fieldsV1": {"f:metadata": labels, "f:status": {}}}]


def test_a_restart_that_was_asked_for_is_not_undone() -> None:
    stamp = {"f:annotations": {"f:kubectl.kubernetes.io/restartedAt": {}}}
    restart = entry("kubectl-rollout", "Update", {"f:spec": {"f:template": {"f:metadata": stamp}}})
    assert adopted(restart, kind="DaemonSet") is None


def test_containers_that_no_manager_owns_become_ours() -> None:
    ours = entry("kubectl-directpv", "Apply", {})
    [now] = adopted(ours, kind="Deployment", containers=["x"]) or []
    assert now["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"] == {'k:{"name":"x"}': {".": {}}}


def test_labels_and_annotations_of_before_are_never_taken_away() -> None:
    meta = {"f:annotations": {"f:storageclass.kubernetes.io/is-default-class": {}}, "f:labels": {"f:team": {}}}
    assert adopted(entry("kubectl-client-side-apply", "Update", {"f:metadata": meta})) is None


def test_nothing_is_adopted_twice() -> None:
    now = adopted(entry("kubectl-directpv", "Update", {"f:data": {"f:a": {}}, "f:metadata": {"f:labels": {}}}))
    assert now is not None
    assert adopted(*now) is None


def workload(kind: str, selector: str, account: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "spec": {"selector": {"matchLabels": {"s": selector}}, "template": {"spec": {"serviceAccountName": account}}},
    }


def test_a_daemon_set_of_upstreams_is_rolled_and_its_deployment_replaced() -> None:
    for kind, replaced in (("DaemonSet", False), ("Deployment", True)):
        ours, theirs = workload(kind, "a", "directpv-x"), workload(kind, "a", "directpv-min-io")
        assert bool(takeover.must_be_replaced(ours, theirs)) == replaced
        assert not takeover.must_be_replaced(ours, ours)


def test_another_selector_means_replacing() -> None:
    assert takeover.must_be_replaced(workload("DaemonSet", "a", "x"), workload("DaemonSet", "b", "x"))


def test_a_roll_out_is_over_when_all_pods_are_new_and_ready() -> None:
    def deployment(**status: int) -> dict[str, Any]:
        return {"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status}

    done = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}
    assert takeover.is_rolled_out(deployment(**done))
    for missing in (
        {"observedGeneration": 1},
        {"replicas": 3},
        {"updatedReplicas": 1},
        {"readyReplicas": 1},
    ):
        assert not takeover.is_rolled_out(deployment(**{**done, **missing}))
