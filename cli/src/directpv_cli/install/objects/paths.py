"""Where the API server keeps objects of a kind. Source: Kubernetes API reference."""

from types import MappingProxyType
from typing import Final, NamedTuple

from directpv_cli.install.objects.base import NAMESPACE, Object
from directpv_common.protocol.names import API_VERSION, GROUP


class Place(NamedTuple):
    """A collection of objects."""

    prefix: str
    plural: str
    namespaced: bool = False

    def path(self, name: str = "", namespace: str = NAMESPACE) -> str:
        """Return the path of the object ``name``, of the collection without a name."""
        home = f"/namespaces/{namespace}" if self.namespaced else ""
        return f"{self.prefix}{home}/{self.plural}" + (f"/{name}" if name else "")


_RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
_STORAGE: Final = "/apis/storage.k8s.io/v1"
_OURS: Final = f"/apis/{GROUP}/{API_VERSION}"

PLACES: Final = MappingProxyType(
    {
        "Namespace": Place("/api/v1", "namespaces"),
        "Node": Place("/api/v1", "nodes"),
        "PersistentVolume": Place("/api/v1", "persistentvolumes"),
        "PersistentVolumeClaim": Place("/api/v1", "persistentvolumeclaims", True),
        "Pod": Place("/api/v1", "pods", True),
        "ServiceAccount": Place("/api/v1", "serviceaccounts", True),
        "ConfigMap": Place("/api/v1", "configmaps", True),
        "Secret": Place("/api/v1", "secrets", True),
        "Service": Place("/api/v1", "services", True),
        "CustomResourceDefinition": Place("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions"),
        "ClusterRole": Place(_RBAC, "clusterroles"),
        "ClusterRoleBinding": Place(_RBAC, "clusterrolebindings"),
        "Role": Place(_RBAC, "roles", True),
        "RoleBinding": Place(_RBAC, "rolebindings", True),
        "CSIDriver": Place(_STORAGE, "csidrivers"),
        "StorageClass": Place(_STORAGE, "storageclasses"),
        "NetworkPolicy": Place("/apis/networking.k8s.io/v1", "networkpolicies", True),
        "StatefulSet": Place("/apis/apps/v1", "statefulsets", True),
        "DaemonSet": Place("/apis/apps/v1", "daemonsets", True),
        "Deployment": Place("/apis/apps/v1", "deployments", True),
        "PodDisruptionBudget": Place("/apis/policy/v1", "poddisruptionbudgets", True),
        "DirectPVDrive": Place(_OURS, "directpvdrives"),
        "DirectPVVolume": Place(_OURS, "directpvvolumes"),
        "DirectPVNode": Place(_OURS, "directpvnodes"),
        "DirectPVInitRequest": Place(_OURS, "directpvinitrequests"),
    }
)


class Ref(NamedTuple):
    """One object."""

    kind: str
    name: str

    @classmethod
    def of(cls, item: Object) -> "Ref":
        """Return what ``item`` is."""
        return cls(item["kind"], item["metadata"]["name"])

    @property
    def path(self) -> str:
        """Path of the object; those of a namespace are looked for in ours."""
        return PLACES[self.kind].path(self.name)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
