"""Reads the labels of one pod, and nothing else of it: what a pod runs, and with which secrets, is not sent.

Source: Kubernetes, API concepts, "Metadata-only fetches"; the right to ``get`` pods covers them.
"""

from typing import Final

from directpv_common import crd
from directpv_common.protocol.messages import VolumeRecord
from directpv_controller.nodes.pod_labels import ReadPod
from directpv_controller.registry.kubernetes.client import Client, Resource
from directpv_controller.registry.kubernetes.errors import Missing

METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


def pods_of(namespace: str) -> Resource:
    """Return the pods of a namespace, of which only metadata is sent."""
    return Resource(f"/api/v1/namespaces/{namespace}/pods", "pods", METADATA)


def pod_reader(client: Client) -> ReadPod:
    """Return what reads pods over ``client``."""

    async def read(record: VolumeRecord) -> dict[str, str]:
        if not (_is_name(record.pod_name) and _is_name(record.pod_namespace)):
            return {}  # a node says so, and it must not lead this token elsewhere
        try:
            meta = (await client.get(pods_of(record.pod_namespace), record.pod_name))["metadata"]
        except Missing:
            return {}
        if record.pod_uid and meta["uid"] != record.pod_uid:
            return {}  # a later pod of this name: its own mount will be told
        labels: dict[str, str] = meta.get("labels") or {}
        return labels

    return read


def _is_name(text: str) -> bool:
    return crd.object_name(text) == text
