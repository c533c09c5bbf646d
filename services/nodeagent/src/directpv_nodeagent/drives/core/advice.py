"""What people can do about a drive that is not well: one table. Events carry it beside the cause."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from directpv_common.protocol.messages import ConditionType
from directpv_nodeagent.drives.core.states import Observation

_COPY: Final = (
    "remove the copy (a clone, a restored snapshot), or set up multipath if these are paths to one disk; give a copy "
    "that shall stay another UUID with xfs_admin -U generate"
)

ADVICE: Final[Mapping[Observation | ConditionType, str]] = MappingProxyType(
    {
        Observation.ABSENT: (
            "put the disk back, or look at its cable, enclosure and controller; it is mounted again by itself. If it "
            "is gone for good, delete its volumes' claims and remove the drive"
        ),
        Observation.DUPLICATE: _COPY,
        ConditionType.DUPLICATE: _COPY,
        Observation.STALE_MOUNT: "restart the pods that still use the failed file system",
        Observation.MOUNT_FAILED: (
            "look at the kernel log of the node; if the file system is damaged, run: kubectl directpv repair {drive}"
        ),
        Observation.IO_ERROR: (
            "look at the kernel log and at the disk's health (smartctl -a); replace the disk if it fails again. If it "
            "does not mount any more, run: kubectl directpv repair {drive}"
        ),
        Observation.READ_ONLY: (
            "find out who did that and why; then, on the node: mount -o remount,rw /dev/disk/by-uuid/{drive}"
        ),
        Observation.RELABEL_FAILED: "look at the kernel log of the node; if the drive is full, make room on it",
        ConditionType.FAILURE_PREDICTED: (
            "run: kubectl directpv cordon {drive}; then move its data (let the application heal it elsewhere) and "
            "replace the disk"
        ),
        ConditionType.SLOW: (
            "look at the disk's health (smartctl -a), its cable and its load; a disk that stays slow is about to fail"
        ),
        ConditionType.FULL: "find what is on the drive beside its volumes (du -x), and remove it or expand the disk",
    }
)
"""By what was seen, or by the warning; ``{drive}`` stands for the drive's id."""


def advice_for(cause: Observation | ConditionType, fsuuid: str) -> str:
    """Return what to do; empty if nothing needs to be done."""
    return ADVICE.get(cause, "").replace("{drive}", fsuuid)
