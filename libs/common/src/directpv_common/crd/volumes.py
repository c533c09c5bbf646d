"""VolumeRecord ↔ DirectPVVolume. Source: upstream v4.1.6, group ``directpv.min.io``, version ``v1beta1``."""

from typing import Final

import msgspec

import directpv_common.protocol.messages as m
from directpv_common.crd.labels import is_label_value, label_value, object_name, restored
from directpv_common.crd.shape import (
    NOTHING,
    PURGE_PROTECTION,
    PV_PROTECTION,
    Object,
    Rest,
    extra_of,
    metadata,
    rest_of,
    split_labels,
    understood,
)
from directpv_common.protocol import names
from directpv_common.protocol.errors import InvalidRequest

KIND: Final = "DirectPVVolume"
CREATED_BY: Final = "directpv-controller"

_FACTS: Final = frozenset(
    {
        names.DRIVE,
        names.NODE,
        names.DRIVE_NAME,
        names.VERSION,
        names.CREATED_BY,
        names.CLAIM_ID,
        names.POD_NAME,
        names.POD_NAMESPACE,
    }
)
_OF_RECORD: Final = frozenset({"fsuuid", "totalCapacity", "availableCapacity", "status"})
READY: Final = "Ready"
PENDING: Final = "Pending"
_FRESH: Final[Object] = {
    "dataPath": "",
    "stagingTargetPath": "",
    "targetPath": "",
    "usedCapacity": 0,
    "status": PENDING,
    "conditions": [],
}
"""Status of a volume that no node has touched yet."""
_PLAIN: Final = ("pvc_name", "pvc_namespace", "created", "parameters", "pod_uid", "incarnation")
_IN_LABELS: Final = {"claim_id": names.CLAIM_ID, "pod_name": names.POD_NAME, "pod_namespace": names.POD_NAMESPACE}


def volume_to_object(
    record: m.VolumeRecord,
    *,
    node: str,
    device: str,
    use: m.VolumeUse | None = None,
    rest: Rest = NOTHING,
    epoch: int = 0,
) -> Object:
    """Return the volume as a custom resource.

    Args:
        record: The volume.
        node: Of its drive.
        device: Kernel name of its drive.
        use: Where it is mounted; None: not known, the object keeps what it says.
        rest: What else the object held when it was read.
        epoch: Of the leader that writes it.
    """
    labels, misfits = split_labels(record.labels)
    facts = {
        names.DRIVE: record.fsuuid,
        names.NODE: label_value(node),
        names.DRIVE_NAME: label_value(device),
        names.VERSION: names.API_VERSION,
        names.CREATED_BY: CREATED_BY,
        **{key: label_value(getattr(record, field)) for field, key in _IN_LABELS.items()},
    }
    facts = {key: value for key, value in facts.items() if value}
    known = _FRESH | rest.status | ({"status": READY} if _was_used(record, rest.status) else {})
    status = {**known, **(_mounted(record, use, rest.status) if use is not None else {})}
    return {
        "apiVersion": f"{names.GROUP}/{names.API_VERSION}",
        "kind": KIND,
        "metadata": metadata(
            object_name(record.name),
            {**labels, **facts},
            [PURGE_PROTECTION] if record.deleting else [PV_PROTECTION, PURGE_PROTECTION],
            _extra(record, misfits),
            rest,
            epoch,
        ),
        "status": {
            **status,
            "fsuuid": record.fsuuid,
            "totalCapacity": record.capacity,
            "availableCapacity": max(0, record.capacity - status["usedCapacity"]),
        },
    }


def _extra(record: m.VolumeRecord, misfits: dict[str, str]) -> Object:
    """Return what upstream's schema has no place for."""
    extra: Object = {field: getattr(record, field) for field in _PLAIN if getattr(record, field)}
    if record.pv is not None:
        extra["pv"] = msgspec.to_builtins(record.pv)
    for field in _IN_LABELS:
        if not is_label_value(getattr(record, field)):
            extra[field] = getattr(record, field)
    if object_name(record.name) != record.name:
        extra["name"] = record.name
    if record.deleting:
        extra["deleting"] = True
    if record.moving is not None:
        extra["moving"] = msgspec.to_builtins(record.moving)
    if record.origins:
        extra["origins"] = list(record.origins)
    if misfits:
        extra["labels"] = misfits
    return extra


def data_path(record: m.VolumeRecord) -> str:
    """Return the host path of the volume's directory, under the default root."""
    return f"{names.ROOT_DIR}/mnt/{record.fsuuid}/{names.fsuuid_link(record.fsuuid)}/{record.name}"


def _mounted(record: m.VolumeRecord, use: m.VolumeUse, before: Object) -> Object:
    """Return the status of a volume that is in such use. A path once known stays, as upstream leaves it.

    So does Ready: a volume is Pending only before it is staged for the first time. Source: upstream v4.1.6, whose
    ``cordon`` refuses drives with volumes that are Pending.
    """
    status: Object = {
        "stagingTargetPath": use.staged,
        "targetPath": use.published[0] if use.published else "",
        "status": READY if use.staged or _was_used(record, before) else PENDING,
    }
    return {**status, "dataPath": data_path(record)} if use.staged else status


def _was_used(record: m.VolumeRecord, before: Object) -> bool:
    return record.used or bool(before.get("dataPath"))


def shows_use(rest: Rest, record: m.VolumeRecord, use: m.VolumeUse) -> bool:
    """Tell whether an object with ``rest`` says already that its volume is in such use: its paths do."""
    wanted = _mounted(record, use, rest.status)
    return wanted.items() <= {**_FRESH, **rest.status, "status": wanted["status"]}.items()


def shown_use(rest: Rest) -> m.VolumeUse | None:
    """Return where an object with ``rest`` says that its volume is mounted; None: nowhere."""
    staged, published = rest.status.get("stagingTargetPath"), rest.status.get("targetPath")
    if not staged and not published:
        return None
    return m.VolumeUse(staged=str(staged or ""), published=(str(published),) if published else ())


@understood
def volume_from_object(obj: Object) -> tuple[m.VolumeRecord, Rest]:
    """Return the volume that ``obj`` stands for, and what else it holds.

    A volume is being deleted when we said so, or when somebody deleted the object and nothing speaks for the claim any
    more; a deletion that the claim's finalizer holds up destroys nothing.

    Raises:
        InvalidRequest: It cannot be understood; names the object and the field.
    """
    meta, status, extra = obj["metadata"], obj["status"], extra_of(obj)
    labels = meta.get("labels") or {}
    released = "deletionTimestamp" in meta and PV_PROTECTION not in (meta.get("finalizers") or ())
    values: Object = {
        "name": extra.get("name", meta["name"]),
        "fsuuid": status["fsuuid"],
        "capacity": status["totalCapacity"],
        "parameters": extra.get("parameters", {}),
        "labels": {**{k: v for k, v in labels.items() if k not in _FACTS}, **extra.get("labels", {})},
        **{field: restored(labels.get(key, ""), extra.get(field, "")) for field, key in _IN_LABELS.items()},
        "pvc_name": extra.get("pvc_name", ""),
        "pvc_namespace": extra.get("pvc_namespace", ""),
        "pv": extra.get("pv"),
        "pod_uid": extra.get("pod_uid", ""),
        "used": bool(status.get("dataPath")) or status.get("status") == READY,
        "incarnation": extra.get("incarnation", ""),
        "created": extra.get("created", meta.get("creationTimestamp") or ""),
        "deleting": bool(extra.get("deleting")) or released,
        "moving": extra.get("moving"),
        "origins": extra.get("origins", []),
    }
    values["claim_id"] = values["claim_id"].lower()
    kept = {key: value for key, value in status.items() if key not in _OF_RECORD and value != _FRESH.get(key)}
    return msgspec.convert(values, m.VolumeRecord), rest_of(obj, (PV_PROTECTION, PURGE_PROTECTION), status=kept)


def volume_name(obj: Object) -> str:
    """Return the name of the volume that a DirectPVVolume stands for."""
    try:
        return str(extra_of(obj).get("name", obj["metadata"]["name"]))
    except InvalidRequest:
        return str(obj["metadata"]["name"])
