"""What a node gets with each stage and publish call: the volume context of CSI, a PersistentVolume's attributes."""

from typing import Final

from directpv_common.protocol.messages import VolumeRecord
from directpv_common.protocol.names import DRIVE, INCARNATION, VOLUME_SIZE

KUBERNETES: Final = ("csi.storage.k8s.io/", "storage.kubernetes.io/")
"""Prefixes of keys that Kubernetes adds to parameters and context for each call."""


def class_parameters(record: VolumeRecord) -> dict[str, str]:
    """Return the parameters of the volume's storage class, without those that Kubernetes takes or gives itself."""
    return {key: value for key, value in record.parameters.items() if not key.startswith(KUBERNETES)}


def volume_context(record: VolumeRecord) -> dict[str, str]:
    """Return what the node gets with each stage and publish call.

    The parameters of the class, as upstream gives them, two hints with which a node finds the volume although the
    record on its drive is gone, and which volume of that name it is.
    """
    which = {INCARNATION: record.incarnation} if record.incarnation else {}
    return {**class_parameters(record), DRIVE: record.fsuuid, VOLUME_SIZE: str(record.capacity), **which}
