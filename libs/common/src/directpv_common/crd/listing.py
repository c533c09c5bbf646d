"""Drives and volumes as ``list -o json|yaml`` prints them, so that scripts written for upstream keep working."""

from typing import Final

import directpv_common.protocol.messages as m
from directpv_common.crd.shape import DATA_PROTECTION, PURGE_PROTECTION, PV_PROTECTION, Object, condition_object
from directpv_common.crd.volumes import data_path
from directpv_common.protocol import names

_API: Final = f"{names.GROUP}/{names.API_VERSION}"


def drive_object(info: m.DriveInfo) -> Object:
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
            "conditions": [condition_object(condition) for condition in record.conditions],
        },
    }


def volume_object(info: m.VolumeInfo, usage: m.VolumeStats | None = None) -> Object:
    """Return ``info`` as a DirectPVVolume; capacities in bytes. What is used is left out if ``usage`` does not tell."""
    record = info.record
    room = {} if usage is None else {"availableCapacity": usage.available, "usedCapacity": usage.used}
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
    finalizers = [PURGE_PROTECTION] if record.deleting else [PV_PROTECTION, PURGE_PROTECTION]
    return {
        **_head("DirectPVVolume", record.name, labels, finalizers, record.created),
        "status": {
            "dataPath": data_path(record) if info.use.staged else "",
            "stagingTargetPath": info.use.staged,
            "targetPath": info.use.published[0] if info.use.published else "",
            "fsuuid": record.fsuuid,
            "totalCapacity": record.capacity,
            **room,
            "status": info.status,
            "condition": info.condition,
            "abnormal": info.abnormal,
            "conditions": [],
        },
    }


def _head(kind: str, name: str, labels: dict[str, str], finalizers: list[str], created: str) -> Object:
    return {
        "apiVersion": _API,
        "kind": kind,
        "metadata": {
            "name": name,
            "labels": {key: value for key, value in labels.items() if value},
            "finalizers": finalizers,
            "creationTimestamp": created or None,
        },
    }
