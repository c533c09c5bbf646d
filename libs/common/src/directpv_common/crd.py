"""Drives and volumes in the shape of upstream's custom resources (group ``directpv.min.io``, version ``v1beta1``).

What ``list -o json|yaml`` prints, so that scripts written for upstream keep working.
"""

from typing import Any, Final

import directpv_common.messages as m
from directpv_common import names

DATA_PROTECTION: Final = f"{names.GROUP}/data-protection"
PV_PROTECTION: Final = f"{names.GROUP}/pv-protection"
PURGE_PROTECTION: Final = f"{names.GROUP}/purge-protection"
CONDITION_REASONS: Final = {
    m.ConditionType.MOUNT_ERROR: "DriveHasMountError",
    m.ConditionType.MULTIPLE_MATCHES: "DriveHasMultipleMatches",
    m.ConditionType.IO_ERROR: "DriveHasIOError",
    m.ConditionType.RELABEL_ERROR: "DriveHasRelabelError",
    m.ConditionType.FAILURE_PREDICTED: "DriveExpectsToFail",
    m.ConditionType.SLOW: "DriveIsSlow",
    m.ConditionType.FULL: "DriveIsFull",
}


def drive_object(info: m.DriveInfo) -> dict[str, Any]:
    """Return ``info`` as a DirectPVDrive; capacities in bytes."""
    record = info.record
    labels = {
        names.NODE: record.node,
        names.DRIVE_NAME: record.device,
        names.ACCESS_TIER: record.access_tier,
        names.VERSION: names.API_VERSION,
        names.CREATED_BY: "directpv-driver",
        **record.labels,
    }
    return {
        **_head("DirectPVDrive", record.fsuuid, labels, [DATA_PROTECTION], record.created),
        "spec": {"unschedulable": record.unschedulable},
        "status": {
            "totalCapacity": record.total,
            "allocatedCapacity": info.allocated,
            "freeCapacity": info.free,
            "fsuuid": record.fsuuid,
            "status": record.status,
            "topology": record.topology,
            "make": record.make,
            "conditions": [_condition(condition) for condition in record.conditions],
        },
    }


def volume_object(info: m.VolumeInfo) -> dict[str, Any]:
    """Return ``info`` as a DirectPVVolume; capacities in bytes."""
    record = info.record
    labels = {
        names.DRIVE: record.fsuuid,
        names.NODE: info.node,
        names.DRIVE_NAME: info.device,
        names.VERSION: names.API_VERSION,
        names.CREATED_BY: "directpv-controller",
        names.CLAIM_ID: record.claim_id,
        names.POD_NAME: record.pod_name,
        names.POD_NAMESPACE: record.pod_namespace,
        **record.labels,
    }
    return {
        **_head("DirectPVVolume", record.name, labels, [PV_PROTECTION, PURGE_PROTECTION], record.created),
        "status": {
            "dataPath": data_path(record) if info.use.staged else "",
            "stagingTargetPath": info.use.staged,
            "targetPath": info.use.published[0] if info.use.published else "",
            "fsuuid": record.fsuuid,
            "totalCapacity": record.capacity,
            "availableCapacity": record.capacity,
            "usedCapacity": 0,
            "status": "Ready" if info.use.staged else "Pending",
            "conditions": [],
        },
    }


def data_path(record: m.VolumeRecord) -> str:
    """Return the host path of the volume's directory, under the default root."""
    return f"{names.ROOT_DIR}/mnt/{record.fsuuid}/{names.fsuuid_link(record.fsuuid)}/{record.name}"


def _head(kind: str, name: str, labels: dict[str, str], finalizers: list[str], created: str) -> dict[str, Any]:
    return {
        "apiVersion": f"{names.GROUP}/{names.API_VERSION}",
        "kind": kind,
        "metadata": {
            "name": name,
            "labels": {key: value for key, value in labels.items() if value},
            "finalizers": finalizers,
            "creationTimestamp": created or None,
        },
    }


def _condition(condition: m.Condition) -> dict[str, Any]:
    return {
        "type": condition.type,
        "status": "True",
        "reason": CONDITION_REASONS[condition.type],
        "message": condition.message,
        "lastTransitionTime": condition.since,
    }
