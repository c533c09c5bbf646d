"""Objects that the cluster has once: namespace, CSIDriver, StorageClass; and what all objects carry.

Source: Kubernetes API reference; names, parameters and labels are upstream's, which existing volumes refer to.
"""

from typing import Any, Final

from directpv_cli.install.objects.kube_version import NEWEST, KubeVersion
from directpv_cli.install.objects.options import Options
from directpv_common.protocol.names import API_VERSION, CREATED_BY, DRIVER_NAME, FS_TYPE, GROUP, IDENTITY, VERSION

Object = dict[str, Any]

NAMESPACE: Final = "directpv"
MANAGER: Final = "kubectl-directpv"
LABELS: Final = {
    "application-name": GROUP,
    "application-type": "CSIDriver",
    CREATED_BY: MANAGER,
    VERSION: API_VERSION,
}
SELECTOR: Final = f"selector.{GROUP}"
POD_SECURITY: Final = "pod-security.kubernetes.io/enforce"
UNHEALTHY_POLICY: Final = KubeVersion(1, 27)
"""The first version that has the field of budgets by default; older ones refuse what they do not know."""
HOLDS_PODS: Final = KubeVersion(1, 37)
"""CSIDriver has ``preventPodSchedulingIfMissing``, and it is on by default."""
VOLUME_HEALTH: Final = KubeVersion(1, 37)
"""The first version whose kubelet asks for health as CSI 1.13 has it; older ones read VOLUME_CONDITION."""


def metadata(name: str, *, namespace: str | None = NAMESPACE, **more: Any) -> Object:
    """Return metadata with the labels that every object of ours has; ``namespace`` None: the object has none."""
    home = {"namespace": namespace} if namespace else {}
    labels = {**LABELS, **more.pop("labels", {})}
    return {"name": name, **home, "labels": labels, **more}


def namespace(options: Options) -> Object:
    """Return the namespace; node pods mount host folders, which Pod Security admission must let through."""
    admission = options.kube_version >= KubeVersion(1, 25)
    security = {POD_SECURITY: "privileged"} if admission else {}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(NAMESPACE, namespace=None, labels=security)}


def csi_driver(version: KubeVersion = NEWEST) -> Object:
    """Return the driver's registration.

    ``storageCapacity``: the scheduler asks CSIStorageCapacity objects, so that no pod goes to a full node. Generic
    ephemeral volumes are ordinary claims and need no more than ``Persistent``; inline ones are not offered.
    ``preventPodSchedulingIfMissing``: no pod with one of our volumes goes to a node whose agent is not registered yet.
    """
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": metadata(DRIVER_NAME, namespace=None),
        "spec": {
            "attachRequired": False,
            "podInfoOnMount": True,
            "fsGroupPolicy": "ReadWriteOnceWithFSType",
            "storageCapacity": True,
            "volumeLifecycleModes": ["Persistent"],
            **({"preventPodSchedulingIfMissing": True} if version >= HOLDS_PODS else {}),
        },
    }


def storage_class() -> Object:
    """Return the class that existing claims name; its fields cannot be changed, and equal upstream's."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": metadata(DRIVER_NAME, namespace=None),
        "provisioner": DRIVER_NAME,
        "parameters": {"csi.storage.k8s.io/fstype": FS_TYPE},
        "allowVolumeExpansion": True,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowedTopologies": [{"matchLabelExpressions": [{"key": IDENTITY, "values": [DRIVER_NAME]}]}],
    }


def disruption_budget(name: str, selector: dict[str, str], options: Options) -> Object:
    """Let evictions take one pod at a time; a single replica may be moved, too.

    Always one that is not ready: it serves nobody, and a drain must not wait for what makes it ready, such as NATS for
    a controller. That holds for a server of NATS as well: one that is not ready is part of no quorum that answers.
    """
    policy = {"unhealthyPodEvictionPolicy": "AlwaysAllow"} if options.kube_version >= UNHEALTHY_POLICY else {}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(name),
        "spec": {"maxUnavailable": 1, **policy, "selector": {"matchLabels": selector}},
    }
