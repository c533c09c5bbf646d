"""Where the objects that tests use lie in the API, by what tests call them, and by their kind.

Source: Kubernetes API concepts, "Resource URIs"; kubernetes.io/docs/reference/using-api/api-concepts.
"""

from typing import Any, Final, NamedTuple

from directpv_common.protocol.names import API_VERSION, GROUP


class Place(NamedTuple):
    """One resource."""

    group: str
    """Path of group and version."""
    plural: str
    namespaced: bool = False

    def path(self, namespace: str = "", name: str = "") -> str:
        """Return the path of all objects, of those of a namespace, or of one object."""
        where = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{self.group}{where}/{self.plural}" + (f"/{name}" if name else "")


_CORE: Final = "/api/v1"
_APPS: Final = "/apis/apps/v1"
_RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
_STORAGE: Final = "/apis/storage.k8s.io/v1"
_EXTENSIONS: Final = "/apis/apiextensions.k8s.io/v1"
_OURS: Final = f"/apis/{GROUP}/{API_VERSION}"
BY_KIND: Final = {
    "Pod": Place(_CORE, "pods", namespaced=True),
    "PersistentVolumeClaim": Place(_CORE, "persistentvolumeclaims", namespaced=True),
    "PersistentVolume": Place(_CORE, "persistentvolumes"),
    "Node": Place(_CORE, "nodes"),
    "Namespace": Place(_CORE, "namespaces"),
    "ConfigMap": Place(_CORE, "configmaps", namespaced=True),
    "ServiceAccount": Place(_CORE, "serviceaccounts", namespaced=True),
    "Event": Place(_CORE, "events", namespaced=True),
    "Secret": Place(_CORE, "secrets", namespaced=True),
    "Service": Place(_CORE, "services", namespaced=True),
    "DaemonSet": Place(_APPS, "daemonsets", namespaced=True),
    "Deployment": Place(_APPS, "deployments", namespaced=True),
    "ReplicaSet": Place(_APPS, "replicasets", namespaced=True),
    "StatefulSet": Place(_APPS, "statefulsets", namespaced=True),
    "Lease": Place("/apis/coordination.k8s.io/v1", "leases", namespaced=True),
    "Role": Place(_RBAC, "roles", namespaced=True),
    "RoleBinding": Place(_RBAC, "rolebindings", namespaced=True),
    "ClusterRole": Place(_RBAC, "clusterroles"),
    "ClusterRoleBinding": Place(_RBAC, "clusterrolebindings"),
    "CSIDriver": Place(_STORAGE, "csidrivers"),
    "StorageClass": Place(_STORAGE, "storageclasses"),
    "CSIStorageCapacity": Place(_STORAGE, "csistoragecapacities", namespaced=True),
    "CustomResourceDefinition": Place(_EXTENSIONS, "customresourcedefinitions"),
    "DirectPVDrive": Place(_OURS, "directpvdrives"),
    "DirectPVVolume": Place(_OURS, "directpvvolumes"),
}
_SHORT: Final = {"pvc": "PersistentVolumeClaim", "pv": "PersistentVolume"}
BY_WORD: Final = {
    **{place.plural: place for place in BY_KIND.values()},
    **{kind.lower(): place for kind, place in BY_KIND.items()},
    **{word: BY_KIND[kind] for word, kind in _SHORT.items()},
}
"""Plural, kind in lower case, or the short form that kubectl knows."""


def own_place(manifest: dict[str, Any]) -> Place | None:
    """Return where an object lies; None if its resource is not known here."""
    place = BY_KIND.get(manifest["kind"])
    version = place and place.group.removeprefix("/apis/").removeprefix("/api/")
    return place if version == manifest["apiVersion"] else None
