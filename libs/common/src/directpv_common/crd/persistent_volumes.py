"""VolumeRecord ↔ PersistentVolume, as external-provisioner makes it. Source: Kubernetes API reference; csi-provisioner.

Its names are those of the volume: csi-provisioner asks for a volume of the name that the PersistentVolume will have.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

import directpv_common.protocol.messages as m
from directpv_common.crd.shape import Object
from directpv_common.protocol import names
from directpv_common.protocol.volume_context import volume_context

KIND: Final = "PersistentVolume"
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
ACCESS_MODES: Final = ("ReadWriteOnce",)
RETAIN: Final = "Retain"

TEXT_AT_MOST: Final = 253
"""Characters. Source: Kubernetes, names of objects; no mount option of XFS comes near."""
MODES_AT_MOST: Final = 4
"""There are no more. Source: Kubernetes, PersistentVolumeAccessMode."""
OPTIONS_AT_MOST: Final = 32


class Claim(NamedTuple):
    """A PersistentVolumeClaim, by name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Seen(NamedTuple):
    """What a PersistentVolume says that its volume cannot know by itself."""

    pv: m.KeptPv
    claim: Claim | None


def read_pv(obj: Object, volume: str) -> Seen | None:
    """Return what a PersistentVolume says; None: it is not that of ``volume``, or makes no sense.

    What is longer than it may be is not kept: records of a whole drive travel in one message.
    """
    spec = obj.get("spec") or {}
    csi = spec.get("csi") or {}
    if (csi.get("driver"), csi.get("volumeHandle")) != (names.DRIVER_NAME, volume):
        return None
    found = {
        "storage_class": _short(spec.get("storageClassName")),
        "reclaim_policy": _short(spec.get("persistentVolumeReclaimPolicy")),
        "access_modes": _few(spec.get("accessModes"), MODES_AT_MOST),
        "mount_options": _few(spec.get("mountOptions"), OPTIONS_AT_MOST),
        "fs_type": _short(csi.get("fsType")),
    }
    try:
        return Seen(msgspec.convert(found, m.KeptPv), claim_of(obj))
    except msgspec.ValidationError:
        return None


def claim_of(obj: Object) -> Claim | None:
    """Return the claim that a PersistentVolume is bound to, or kept for; None: none."""
    reference = (obj.get("spec") or {}).get("claimRef") or {}
    claim = Claim(_short(reference.get("namespace")), _short(reference.get("name")))
    return claim if all(claim) else None


def _short(text: object) -> str:
    return text if isinstance(text, str) and len(text) <= TEXT_AT_MOST else ""


def _few(texts: object, most: int) -> list[str]:
    if not isinstance(texts, list) or len(texts) > most or not all(map(_short, texts)):
        return []
    return texts


def node_affinity(topology: Mapping[str, str]) -> Object:
    """Return where pods can use a volume, as csi-provisioner writes it: one term, one expression per segment."""
    expressions = [{"key": key, "operator": "In", "values": [topology[key]]} for key in sorted(topology)]
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": expressions}]}}


def is_within(topology: Mapping[str, str], affinity: Object | None) -> bool:
    """Tell whether a node with these segments can use a PersistentVolume with this ``nodeAffinity``.

    Labels that are no segments of ours may be on the node, and are not known here: they are taken to fit.
    """
    terms = ((affinity or {}).get("required") or {}).get("nodeSelectorTerms") or []
    return not terms or any(_fits(topology, term.get("matchExpressions") or []) for term in terms)


def _fits(topology: Mapping[str, str], expressions: Iterable[Object]) -> bool:
    return all(
        each.get("key") not in topology or topology[each["key"]] in (each.get("values") or ())
        for each in expressions
        if each.get("operator") == "In"
    )


def pv_object(record: m.VolumeRecord, topology: Mapping[str, str], kept: m.KeptPv, claim: Object) -> Object:
    """Return the PersistentVolume of a volume, with the reclaim policy that ``kept`` has.

    Args:
        record: The volume.
        topology: Segments of the drive's node.
        kept: Class, policy, access modes, options; what is empty there is as csi-provisioner has it by default.
        claim: Its ``claimRef``.
    """
    options = {"mountOptions": list(kept.mount_options)} if kept.mount_options else {}
    return {
        "apiVersion": "v1",
        "kind": KIND,
        "metadata": {"name": record.name, "annotations": {PROVISIONED_BY: names.DRIVER_NAME}},
        "spec": {
            "capacity": {"storage": str(record.capacity)},
            "accessModes": list(kept.access_modes or ACCESS_MODES),
            "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": kept.reclaim_policy or RETAIN,
            "storageClassName": kept.storage_class,
            **options,
            "csi": {
                "driver": names.DRIVER_NAME,
                "volumeHandle": record.name,
                "fsType": kept.fs_type or names.FS_TYPE,
                "volumeAttributes": volume_context(record),
            },
            "nodeAffinity": node_affinity(topology),
            "claimRef": claim,
        },
    }
