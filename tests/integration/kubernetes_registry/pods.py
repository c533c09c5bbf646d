"""Pods as the API server has them; nobody runs them."""

import json
from typing import Any

from directpv_common.protocol import names
from integration.kubernetes_registry.harness import VOLUMES, Cluster

G = f"{names.GROUP}/"


class Pods:
    """Pods in the namespace of one installation."""

    def __init__(self, cluster: Cluster) -> None:
        self._objects, self._space = cluster.objects, cluster.namespace
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        self._objects.call("POST", f"/api/v1/namespaces/{self._space}/serviceaccounts", account)
        self.path = f"/api/v1/namespaces/{self._space}/pods"

    def make(self, name: str, labels: dict[str, str]) -> dict[str, str]:
        """Make a pod; return what its node records of it."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "automountServiceAccountToken": False,
                "containers": [{"name": "main", "image": "none", "env": [{"name": "PASSWORD", "value": "hidden"}]}],
            },
        }
        made = self._objects.call("POST", self.path, pod)["metadata"]
        return {"pod_name": name, "pod_namespace": self._space, "pod_uid": made["uid"]}

    def remove(self, name: str) -> None:
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        self._objects.call("DELETE", f"{self.path}/{name}", options)

    def replace(self, name: str, labels: dict[str, str]) -> dict[str, str]:
        """Make a pod anew under its old name, as a StatefulSet does."""
        self.remove(name)
        return self.make(name, labels)


def labels_of(cluster: Cluster, volume: str) -> dict[str, str]:
    """Return the labels of a volume's object; none while there is no object."""
    found: dict[str, Any] = cluster.objects.find(VOLUMES, volume) or {"metadata": {}}
    labels: dict[str, str] = found["metadata"].get("labels") or {}
    return labels


def ignored(text: str) -> list[dict[str, Any]]:
    """Return what a controller's log says of labels that it did not take."""
    whole, _, _ = text.rpartition("\n")  # the last line may be on its way
    return [json.loads(line) for line in whole.splitlines() if "labels of a pod ignored" in line]
