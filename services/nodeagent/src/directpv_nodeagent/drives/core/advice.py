"""What was seen of a drive, in the words that everybody uses, with what people can do about it. Events carry both."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from directpv_common.protocol import reasons
from directpv_common.protocol.messages import ConditionType, DriveStatus
from directpv_nodeagent.drives.core.states import TABLE, Observation

ADVICE: Final[Mapping[Observation | ConditionType, str]] = MappingProxyType(
    {
        Observation.STALE_MOUNT: "restart the pods that still use the failed file system",
        Observation.READ_ONLY: (
            "find out who did that and why; then, on the node: mount -o remount,rw /dev/disk/by-uuid/{drive}"
        ),
    }
)
"""Where more is known than the reason says; ``{drive}`` stands for the drive's id."""


def reason_for(cause: Observation | ConditionType) -> str:
    """Return the reason for what was seen, or for a warning; empty if nothing is wrong."""
    condition = cause if isinstance(cause, ConditionType) else TABLE[DriveStatus.READY][cause].condition
    return reasons.reason_for(condition) if condition is not None else ""


def advice_for(cause: Observation | ConditionType, fsuuid: str) -> str:
    """Return what to do; empty if nothing needs to be done."""
    special = ADVICE.get(cause, "").replace("{drive}", fsuuid)
    return special or reasons.advice_for(reason_for(cause), fsuuid)
