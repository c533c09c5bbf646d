"""DriveRecord ↔ DirectPVDrive. Source: upstream v4.1.6, group ``directpv.min.io``, version ``v1beta1``."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

import directpv_common.protocol.messages as m
from directpv_common.crd.labels import VOLUME_FINALIZER, label_value, restored, volume_finalizer
from directpv_common.crd.shape import (
    DATA_PROTECTION,
    NOTHING,
    Object,
    Rest,
    condition_object,
    extra_of,
    metadata,
    rest_of,
    split_labels,
    understood,
)
from directpv_common.protocol import names
from directpv_common.protocol.names import AccessTier
from directpv_common.protocol.reasons import BY_CONDITION

KIND: Final = "DirectPVDrive"
CREATED_BY: Final = "directpv-driver"

_FACTS: Final = frozenset({names.NODE, names.DRIVE_NAME, names.ACCESS_TIER, names.VERSION, names.CREATED_BY})
_CLAIM: Final = f"{names.VOLUME_CLAIM_ID}-"
_KNOWN: Final = frozenset(
    {"totalCapacity", "allocatedCapacity", "freeCapacity", "fsuuid", "status", "topology", "make", "conditions"}
)
_TIERS: Final = {tier.value.lower(): tier.value for tier in AccessTier}


class Reservation(NamedTuple):
    """What one volume takes of its drive."""

    volume: str
    capacity: int
    claim: str = ""


def claim_label(claim: str) -> str:
    """Return the label by which upstream keeps a second volume of ``claim`` off a drive."""
    return f"{_CLAIM}{claim}"


def drive_to_object(
    record: m.DriveRecord, reserved: Iterable[Reservation] = (), *, rest: Rest = NOTHING, epoch: int = 0
) -> Object:
    """Return the drive as a custom resource.

    Args:
        record: The drive.
        reserved: All volumes on it.
        rest: What else the object held when it was read.
        epoch: Of the leader that writes it.
    """
    reserved = list(reserved)
    allocated = record.overhead + sum(each.capacity for each in reserved)
    labels, misfits = split_labels(record.labels)
    kinds = [each.type.value for each in record.conditions]
    extra: Object = {"overhead": record.overhead, "node": record.node, "device": record.device}
    extra |= {"created": record.created} if record.created else {}
    extra |= {"labels": misfits} if misfits else {}
    extra |= {"conditions": kinds} if kinds else {}
    extra |= {"unread": True} if record.unread else {}
    extra |= {"removal": record.removal} if record.removal else {}
    extra |= {"lastDevice": record.last_device} if record.last_device else {}
    extra |= {"removed": record.removed} if record.removed else {}
    return {
        "apiVersion": f"{names.GROUP}/{names.API_VERSION}",
        "kind": KIND,
        "metadata": metadata(
            record.fsuuid,
            {**labels, **_claim_labels(reserved), **_facts(record)},
            [DATA_PROTECTION, *(volume_finalizer(each.volume) for each in reserved)],
            extra,
            rest,
            epoch,
        ),
        "spec": {**rest.spec, "unschedulable": record.unschedulable},
        "status": {
            **rest.status,
            "totalCapacity": record.total,
            "allocatedCapacity": allocated,
            "freeCapacity": max(0, record.total - allocated),
            "fsuuid": record.fsuuid,
            "status": record.status.value,
            "topology": record.topology,
            "make": record.make,
            "conditions": [
                *(condition_object(each, rest.reasons) for each in record.conditions),
                *(each for each in rest.conditions if each["type"] not in kinds),
            ],
        },
    }


def _claim_labels(reserved: Iterable[Reservation]) -> dict[str, str]:
    return split_labels({claim_label(each.claim): "true" for each in reserved if each.claim})[0]


def _facts(record: m.DriveRecord) -> dict[str, str]:
    return {
        names.NODE: label_value(record.node),
        names.DRIVE_NAME: label_value(record.device),
        names.ACCESS_TIER: record.access_tier.value,
        names.VERSION: names.API_VERSION,
        names.CREATED_BY: CREATED_BY,
    }


@understood
def drive_from_object(obj: Object, *, sizes: int = 0) -> tuple[m.DriveRecord, Rest]:
    """Return the drive that ``obj`` stands for, and what else it holds.

    An object that upstream wrote says nothing of the file system's overhead: it is what neither volumes nor free
    space account for. A drive whose deletion was asked for takes no new volumes. Labels of claims are no labels of the
    drive: its volumes say which claims it serves, and a label that none of them backs is what a move or a crash left.
    Which conditions are ours, our annotation says too, for kinds that a later version has; those of others are kept.

    Args:
        obj: A DirectPVDrive.
        sizes: Sum of the capacities of the volumes on it.

    Raises:
        InvalidRequest: It cannot be understood; names the object and the field.
    """
    meta, spec, status, extra = obj["metadata"], obj.get("spec") or {}, obj["status"], extra_of(obj)
    labels = meta.get("labels") or {}
    total, conditions = status["totalCapacity"], status.get("conditions") or ()
    later = {*extra.get("conditions", ())} - BY_CONDITION.keys()
    ours = later | BY_CONDITION.keys()
    values: Object = {
        "fsuuid": meta["name"],
        "node": restored(labels.get(names.NODE, ""), extra.get("node", "")),
        "total": total,
        "overhead": extra.get("overhead", max(0, total - status["freeCapacity"] - sizes)),
        "device": restored(labels.get(names.DRIVE_NAME, ""), extra.get("device", "")),
        "make": status.get("make", ""),
        "topology": status.get("topology") or {},
        "status": status["status"],
        "conditions": [
            _condition(each) for each in conditions if each["type"] in ours and each.get("status") == "True"
        ],
        "unschedulable": bool(spec.get("unschedulable")) or "deletionTimestamp" in meta,
        "access_tier": _tier(labels.get(names.ACCESS_TIER, "")),
        "labels": {
            **{k: v for k, v in labels.items() if k not in _FACTS and not k.startswith(_CLAIM)},
            **extra.get("labels", {}),
        },
        "created": extra.get("created", meta.get("creationTimestamp") or ""),
        "unread": extra.get("unread") is True,
        "removal": extra.get("removal", ""),
        "last_device": extra.get("lastDevice", ""),
        "removed": extra.get("removed", ""),
    }
    rest = rest_of(
        obj,
        (DATA_PROTECTION, VOLUME_FINALIZER),
        spec={key: value for key, value in spec.items() if key != "unschedulable"},
        status={key: value for key, value in status.items() if key not in _KNOWN},
        conditions=tuple(each for each in conditions if each["type"] not in ours),
        reasons={each["type"]: each.get("reason", "") for each in conditions if each["type"] in later},
    )
    return msgspec.convert(values, m.DriveRecord), rest


def _tier(label: str) -> str:
    """Return the tier that a label names, in whatever case; one that a later version has stays as it is."""
    is_word = label.isascii() and label.isalnum() and label[0].isalpha()
    return _TIERS.get(label.lower(), label if is_word else AccessTier.DEFAULT.value)


def _condition(condition: Object) -> Object:
    return {
        "type": condition["type"],
        "message": condition.get("message", ""),
        "since": condition.get("lastTransitionTime", ""),
    }


def held_volumes(obj: Object) -> frozenset[str]:
    """Return the finalizers of a DirectPVDrive that stand for volumes."""
    finalizers = obj["metadata"].get("finalizers") or ()
    return frozenset(each for each in finalizers if each.startswith(VOLUME_FINALIZER))
