"""Whether a claim that exists can be bound to a volume, and the claim of one that does not."""

import re
from collections.abc import Mapping
from typing import Final

import directpv_common.protocol.messages as m
from directpv_cli.install.objects.base import Object
from directpv_common.crd.persistent_volumes import Claim

_QUANTITY: Final = re.compile(r"(\d+(?:\.\d+)?)([EPTGMk]i?|Ki|m|)\Z")
_DECIMAL: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18, "m": 10**-3}
_BINARY: Final = {f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", 1)}
FACTORS: Final[Mapping[str, float]] = {**_DECIMAL, **_BINARY}


def claim_object(claim: Claim, record: m.VolumeRecord, facts: m.KeptPv) -> Object:
    """Return a claim that is bound to the volume's PersistentVolume and to nothing else."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim.name, "namespace": claim.namespace},
        "spec": {
            "accessModes": list(facts.access_modes),
            "resources": {"requests": {"storage": str(record.capacity)}},
            "storageClassName": facts.storage_class,
            "volumeMode": "Filesystem",
            "volumeName": record.name,
        },
    }


def misfit(claim: Object, record: m.VolumeRecord) -> str:
    """Return why a claim that exists cannot be bound to the volume; empty if it can, or is."""
    meta, spec = claim["metadata"], claim.get("spec") or {}
    bound = spec.get("volumeName") or ""
    if bound and bound != record.name:
        return f"is bound to {bound}, not to {record.name}: it has other data now; delete it to have this volume's"
    if meta.get("deletionTimestamp"):
        return "is being deleted; repeat when it is gone"
    if spec.get("volumeMode") == "Block":
        return "asks for a raw block device (spec.volumeMode), which this volume is not"
    if spec.get("storageClassName") == "":
        return "asks for no storage class (spec.storageClassName)"
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "0")
    size = in_bytes(str(asked))
    if size is None or size > record.capacity:
        return f"asks for {asked} (spec.resources.requests.storage), and the volume has {record.capacity} bytes"
    return ""


def in_bytes(quantity: str) -> float | None:
    """Return what a quantity of Kubernetes stands for; None: it is none. Source: Kubernetes, "Quantity".

    >>> in_bytes("1.5Gi")
    1610612736.0
    """
    found = _QUANTITY.match(quantity)
    return float(found[1]) * FACTORS[found[2]] if found else None
