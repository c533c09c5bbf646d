"""Reads the labels of one pod, and nothing else of it: what a pod runs, and with which secrets, is not sent.

And the PersistentVolume of one volume, so that its drive can remember what made it.

Source: Kubernetes, API concepts, "Metadata-only fetches"; the right to ``get`` pods covers them.
"""

from typing import Final

from directpv_common import crd
from directpv_common.crd.persistent_volumes import Seen, read_pv
from directpv_common.protocol.messages import VolumeRecord
from directpv_controller.nodes.pod_labels import ReadPod, ReadPv
from directpv_controller.registry.kubernetes.apiserver.client import Client, Resource
from directpv_controller.registry.kubernetes.apiserver.errors import Missing

METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


PERSISTENT_VOLUMES: Final = Resource("/api/v1/persistentvolumes", "persistentvolumes")


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


def pv_reader(client: Client) -> ReadPv:
    """Return what reads PersistentVolumes over ``client``; csi-provisioner names each as its volume."""

    async def read(record: VolumeRecord) -> Seen | None:
        if not _is_name(record.name):
            return None
        try:
            return read_pv(await client.get(PERSISTENT_VOLUMES, record.name), record.name)
        except Missing:
            return None

    return read


def _is_name(text: str) -> bool:
    return crd.object_name(text) == text
