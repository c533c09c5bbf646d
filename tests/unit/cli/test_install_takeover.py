"""Installing over what is there: whose fields become ours, and what must be replaced."""

from typing import Any

from directpv_cli.install import takeover
from directpv_cli.install.base import csi_driver


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


def live(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"managedFields": list(entries)}}


def test_fields_of_earlier_installers_are_joined_with_ours() -> None:
    ours = entry("kubectl-directpv", "Apply", {"f:spec": {"f:a": {}}})
    theirs = entry("kubectl-directpv", "Update", {"f:spec": {"f:b": {}, "f:a": {}}})
    other = entry("kubectl-client-side-apply", "Update", {"f:metadata": {"f:finalizers": {}}})
    [adopted] = takeover.adopted_fields(live(theirs, ours, other)) or []
    assert adopted["operation"] == "Apply"
    assert adopted["fieldsV1"] == {"f:spec": {"f:a": {}, "f:b": {}}, "f:metadata": {"f:finalizers": {}}}


def test_fields_of_people_and_controllers_are_left_to_them() -> None:
    status = entry("kube-controller-manager", "Update", {"f:status": {}}, subresource="status")
    edited = entry("kubectl-edit", "Update", {"f:spec": {}})
    old_status = entry("kubectl-directpv", "Update", {"f:status": {}}, subresource="status")
    assert takeover.adopted_fields(live(status, edited, old_status)) is None
    theirs = entry("kubectl-create", "Update", {})
    assert (takeover.adopted_fields(live(status, edited, theirs)) or [])[1:] == [status, edited]


def test_labels_and_annotations_of_before_are_never_taken_away() -> None:
    meta = {"f:annotations": {"f:storageclass.kubernetes.io/is-default-class": {}}, "f:labels": {"f:team": {}}}
    [adopted] = takeover.adopted_fields(live(entry("kubectl-client-side-apply", "Update", {"f:metadata": meta}))) or []
    assert adopted["fieldsV1"] == {}


def test_nothing_is_adopted_twice() -> None:
    adopted = takeover.adopted_fields(live(entry("kubectl-directpv", "Update", {"f:spec": {}})))
    assert adopted is not None
    assert takeover.adopted_fields(live(*adopted)) is None


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


def test_modes_of_a_driver_that_is_there_are_kept() -> None:
    old = {"spec": {"volumeLifecycleModes": ["Persistent", "Ephemeral"]}}
    assert takeover.fitted(csi_driver(), old)["spec"]["volumeLifecycleModes"] == ["Persistent", "Ephemeral"]
    assert takeover.fitted(csi_driver(), None) == csi_driver()


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
