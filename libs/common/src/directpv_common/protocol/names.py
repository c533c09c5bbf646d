"""Names that other programs rely on: CSI driver name, labels, topology keys, paths.

Source: facts of upstream v4.1.6, which existing volumes, storage classes and
dashboards refer to. Nothing here may change its value.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from directpv_common.protocol.open_enum import OpenStrEnum

GROUP: Final = "directpv.min.io"
DRIVER_NAME: Final = "directpv-min-io"
API_VERSION: Final = "v1beta1"
FS_LABEL: Final = "DIRECTPV"
"""Label that mkfs.xfs writes."""
LEGACY_FS_LABEL: Final = "DIRECTCSI"
"""Label of drives that DirectCSI v3 formatted and upstream v4 took over."""
FS_TYPE: Final = "xfs"
ROOT_DIR: Final = "/var/lib/directpv"

NODE: Final = f"{GROUP}/node"
IDENTITY: Final = f"{GROUP}/identity"
RACK: Final = f"{GROUP}/rack"
ZONE: Final = f"{GROUP}/zone"
REGION: Final = f"{GROUP}/region"
TOPOLOGY_KEYS: Final = (IDENTITY, RACK, ZONE, REGION, NODE)

DRIVE_NAME: Final = f"{GROUP}/drive-name"
ACCESS_TIER: Final = f"{GROUP}/access-tier"
DRIVE: Final = f"{GROUP}/drive"
VERSION: Final = f"{GROUP}/version"
CREATED_BY: Final = f"{GROUP}/created-by"
POD_NAME: Final = f"{GROUP}/pod.name"
POD_NAMESPACE: Final = f"{GROUP}/pod.namespace"
TENANT: Final = f"{GROUP}/tenant"
MIGRATED: Final = f"{GROUP}/migrated"
REQUEST_ID: Final = f"{GROUP}/request-id"
SUSPEND: Final = f"{GROUP}/suspend"
VOLUME_CLAIM_ID: Final = f"{GROUP}/volume-claim-id"
CLAIM_ID: Final = f"{GROUP}/claim-id"
IMAGE_TAG: Final = f"{GROUP}/image-tag"
VOLUME_SIZE: Final = f"{GROUP}/volume-size"
"""Volume context: bytes at creation; the node falls back on it when its record is gone."""

BYTES_PER_INODE: Final = f"{GROUP}/bytes-per-inode"
"""Parameter of a storage class: how many bytes of its size a volume has per file or directory."""

INCARNATION: Final = f"{GROUP}/incarnation"
"""Volume context: which of several volumes of one name, one after another, is meant."""

RESERVED_LABELS: Final = frozenset(
    {
        *TOPOLOGY_KEYS,
        DRIVE_NAME,
        ACCESS_TIER,
        DRIVE,
        VERSION,
        CREATED_BY,
        POD_NAME,
        POD_NAMESPACE,
        MIGRATED,
        REQUEST_ID,
        SUSPEND,
        VOLUME_CLAIM_ID,
        CLAIM_ID,
        IMAGE_TAG,
        f"{GROUP}/{API_VERSION}",
    }
)
"""Keys that the ``label`` command refuses; so is every key that begins with ``VOLUME_CLAIM_ID-``."""

# Parameters that external-provisioner adds with --extra-create-metadata, and kubelet with podInfoOnMount.
PVC_NAME: Final = "csi.storage.k8s.io/pvc/name"
PVC_NAMESPACE: Final = "csi.storage.k8s.io/pvc/namespace"
CONTEXT_POD_NAME: Final = "csi.storage.k8s.io/pod.name"
CONTEXT_POD_NAMESPACE: Final = "csi.storage.k8s.io/pod.namespace"
CONTEXT_POD_UID: Final = "csi.storage.k8s.io/pod.uid"


class AccessTier(OpenStrEnum):
    """Class of service of a drive; storage classes ask for one."""

    DEFAULT = "Default"
    WARM = "Warm"
    HOT = "Hot"
    COLD = "Cold"


def is_suspended(labels: Mapping[str, str]) -> bool:
    """Tell whether the labels of a drive or volume say that people suspended it."""
    return labels.get(SUSPEND) == "true"


def with_suspended(labels: Mapping[str, str], suspended: bool | None) -> dict[str, str]:
    """Return the labels of a drive or volume that people suspend or resume; None: as they are.

    Source: upstream's ``suspend`` sets the label to ``true``, its ``resume`` removes it.
    """
    if suspended is None or suspended == is_suspended(labels):
        return dict(labels)
    kept = {key: value for key, value in labels.items() if key != SUSPEND}
    return {**kept, SUSPEND: "true"} if suspended else kept


def is_reserved(label: str) -> bool:
    """Tell whether users may not set or remove ``label``."""
    return label in RESERVED_LABELS or label.startswith(f"{VOLUME_CLAIM_ID}-")


def user_labels(labels: dict[str, str]) -> dict[str, str]:
    """Return the labels that people set, with their full keys."""
    return {key: value for key, value in labels.items() if not is_reserved(key)}


def project_id(volume: str) -> int:
    """Return the XFS project id of a volume: the first four bytes of the SHA-256 of its name, little endian.

    >>> project_id("pvc-00000000-0000-0000-0000-000000000001")
    96662294
    """
    return int.from_bytes(hashlib.sha256(volume.encode()).digest()[:4], "little")


def fsuuid_link(fsuuid: str) -> str:
    """Return the name of the link in a drive's root whose absence proves that the drive is not mounted."""
    return f".FSUUID.{fsuuid}"


BUS_KEY_LABEL: Final = f"{GROUP}/bus-key"
"""Of the ConfigMaps in which the nodes' keys are."""
BUS_AUDIENCE: Final = f"{GROUP}/bus"
"""Of tokens that show NATS who somebody is; Kubernetes' own API takes none of them."""
BUS_VOLUME: Final = "bus"
"""Of pods that show the bus who they are: what they show. Those of former versions have none."""
BUS_CA_VOLUME: Final = "bus-ca"
"""Of nodes' pods that speak to the bus by TLS; those of former versions have none."""
BUS_CA: Final = "directpv-bus-ca"
"""ConfigMap in which nodes and people find by whom certificates of NATS' servers are issued; controllers write it."""
BUS_CA_KEY: Final = "ca.crt"
BUS_TLS_PORT: Final = "leaf-tls"
"""Port of NATS' pods, which those of former versions, without TLS, do not have."""
NODE_ACCOUNT: Final = "directpv-node"
"""ServiceAccount of the nodes' pods."""
ADMINISTRATOR_ACCOUNT: Final = "directpv-administrator"
"""Who may have a token of it (``create serviceaccounts/token``) administers; no pod runs as it."""
OBSERVER_ACCOUNT: Final = "directpv-observer"
NODE_POD: Final = f"{DRIVER_NAME}-node-server"
"""Value of the label ``selector.directpv.min.io`` of the nodes' pods."""
CONTROLLER_POD: Final = "controller-controller"
NATS_POD: Final = "nats"
SELECTOR: Final = f"selector.{GROUP}"
