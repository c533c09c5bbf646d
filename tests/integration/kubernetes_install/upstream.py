"""Objects as upstream v4.1.6 leaves them, laid out by hand: names, selectors, containers and rights."""

from typing import Any

GROUP, DRIVER, SPACE = "directpv.min.io", "directpv-min-io", "directpv"
LABELS = {
    "application-name": GROUP,
    "application-type": "CSIDriver",
    f"{GROUP}/created-by": "kubectl-directpv",
    f"{GROUP}/version": "v1beta1",
}


def _meta(name: str, namespaced: bool = True, **more: Any) -> dict[str, Any]:
    return {"name": name, "labels": LABELS, **({"namespace": SPACE} if namespaced else {}), **more}


def _workload(kind: str, name: str, selector: str, containers: list[str], **spec: Any) -> dict[str, Any]:
    labels = {f"selector.{GROUP}": selector}
    privileged = {"privileged": True}
    host = [{"name": "legacy-dir", "hostPath": {"path": "/srv/legacy", "type": "DirectoryOrCreate"}}]
    pods = {
        "serviceAccountName": DRIVER,
        "containers": [{"name": each, "image": "old:1", "securityContext": privileged} for each in containers],
        "volumes": host,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": _meta(name),
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pods},
            **spec,
        },
    }


def objects(node_selector: str = "directpv-min-io-node-server") -> list[dict[str, Any]]:
    """Return what an installation of upstream consists of, custom resources aside."""
    rbac = "rbac.authorization.k8s.io"
    everything = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}]
    subject = [{"kind": "ServiceAccount", "name": DRIVER, "namespace": SPACE}]
    bound = {"subjects": subject, "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": DRIVER}}
    mode = [{"key": f"{GROUP}/identity", "values": [DRIVER]}]
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": _meta(SPACE, False, finalizers=["foregroundDeletion"]),
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta(DRIVER)},
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": _meta(DRIVER, False), "rules": everything},
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRoleBinding", "metadata": _meta(DRIVER, False), **bound},
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSIDriver",
            "metadata": _meta(DRIVER, False),
            "spec": {
                "attachRequired": False,
                "podInfoOnMount": True,
                "volumeLifecycleModes": ["Persistent", "Ephemeral"],
            },
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": _meta(
                DRIVER,
                False,
                finalizers=["foregroundDeletion"],
                annotations={"storageclass.kubernetes.io/is-default-class": "true"},
            ),
            "provisioner": DRIVER,
            "parameters": {"csi.storage.k8s.io/fstype": "xfs"},
            "allowVolumeExpansion": True,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowedTopologies": [{"matchLabelExpressions": mode}],
        },
        _workload(
            "DaemonSet",
            "node-server",
            node_selector,
            ["node-driver-registrar", "node-server", "node-controller", "liveness-probe"],
        ),
        _workload(
            "Deployment",
            "controller",
            "controller-controller",
            ["csi-provisioner", "csi-resizer", "controller"],
            replicas=3,
            strategy={"type": "Recreate"},
        ),
    ]
