"""The one vocabulary of what can be wrong: events, conditions of custom resources, metrics, CSI and the plugin use it.

A reason says the same everywhere, and has one meaning, one effect on volumes, and one advice. The words that stand in
upstream's conditions are upstream's.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from directpv_common.protocol.messages import Ailment, Condition, ConditionType, DriveStatus, Effect

AT_MOST: Final = 16
"""Ailments of one node or volume. Source: kubelet of Kubernetes 1.37 refuses an answer with more."""


class Reason(StrEnum):
    """What is wrong; CamelCase, as reasons of Kubernetes' conditions are."""

    DRIVE_LOST = "DriveLost"
    DRIVE_REMOVED = "DriveRemoved"
    DRIVE_UNKNOWN = "DriveUnknown"
    NODE_OFFLINE = "NodeOffline"
    VOLUME_CONTESTED = "VolumeContested"
    DRIVE_HAS_IO_ERROR = "DriveHasIOError"
    DRIVE_HAS_MOUNT_ERROR = "DriveHasMountError"
    DRIVE_HAS_MULTIPLE_MATCHES = "DriveHasMultipleMatches"
    DRIVE_HAS_ERROR = "DriveHasError"
    DRIVE_IN_REPAIR = "DriveInRepair"
    VOLUME_HAS_COPY = "VolumeHasCopy"
    VOLUME_LEFT_BEHIND = "VolumeLeftBehind"
    DRIVE_HAS_RELABEL_ERROR = "DriveHasRelabelError"
    DRIVE_EXPECTS_TO_FAIL = "DriveExpectsToFail"
    DRIVE_IS_SLOW = "DriveIsSlow"
    DRIVE_IS_FULL = "DriveIsFull"
    DRIVE_IS_OVERCOMMITTED = "DriveIsOvercommitted"
    DRIVE_HAS_DUPLICATE = "DriveHasDuplicate"
    SCAN_FAILED = "ScanFailed"


class Meaning(NamedTuple):
    """What a reason stands for."""

    effect: Effect
    says: str
    """A sentence without figures."""
    advice: str
    """What people can do; ``{drive}`` stands for the drive's id."""


_GONE: Final = Effect.INACCESSIBLE
_WORSE: Final = Effect.DEGRADED
_COPY: Final = (
    "remove the copy (a clone, a restored snapshot), or set up multipath if these are paths to one disk; give a copy "
    "that shall stay another UUID with xfs_admin -U generate"
)

TABLE: Final[Mapping[Reason, Meaning]] = MappingProxyType(
    {
        Reason.DRIVE_LOST: Meaning(
            _GONE,
            "no device of the node carries the drive's file system",
            "put the disk back, or look at its cable, enclosure and controller; it is mounted again by itself. If it "
            "is gone for good, run: kubectl directpv remove --lost {drive}",
        ),
        Reason.DRIVE_REMOVED: Meaning(
            _GONE, "the drive was taken out of service", "init the device again if it shall serve"
        ),
        Reason.DRIVE_UNKNOWN: Meaning(
            _GONE,
            "the drive is not registered, and no node has reported it",
            "put the disk into a node of the cluster, or start the agent of the node that has it",
        ),
        Reason.NODE_OFFLINE: Meaning(
            _GONE,
            "the agent of the drive's node is not heard",
            "look at the node, at its pod of DaemonSet node-server and at its way to NATS",
        ),
        Reason.VOLUME_CONTESTED: Meaning(
            _GONE,
            "several drives have a volume of that name, and nothing says which one is meant",
            "put the volume's drive back, or take the copy away; then restart the node's agent",
        ),
        Reason.DRIVE_HAS_IO_ERROR: Meaning(
            _GONE,
            "the drive cannot be read or written",
            "look at the kernel log and at the disk's health (smartctl -a); replace the disk if it fails again. If it "
            "does not mount any more, run: kubectl directpv repair {drive}",
        ),
        Reason.DRIVE_HAS_MOUNT_ERROR: Meaning(
            _GONE,
            "the drive is not mounted as it should be",
            "look at the kernel log of the node; if the file system is damaged, run: kubectl directpv repair {drive}",
        ),
        Reason.DRIVE_HAS_MULTIPLE_MATCHES: Meaning(
            _GONE, "several devices carry the drive's file system, so none is mounted", _COPY
        ),
        Reason.DRIVE_HAS_ERROR: Meaning(
            _GONE,
            "the drive is not served",
            "look at its conditions (kubectl directpv list drives -o yaml) and at the log of the node's agent",
        ),
        Reason.DRIVE_IN_REPAIR: Meaning(
            _GONE, "the drive's file system is being repaired", "wait until the repair has ended"
        ),
        Reason.VOLUME_HAS_COPY: Meaning(
            _WORSE,
            "another drive has a copy of it, which is not served and takes space",
            "if nothing of the copy is needed, take its directory, and its record in .directpv/volumes, away from "
            "drive {drive}; then restart the agent of that node",
        ),
        Reason.VOLUME_LEFT_BEHIND: Meaning(
            _WORSE,
            "a container that ran while the volume's disk was away keeps its failed file system",
            "restart the pod that uses it (kubectl delete pod, or kubectl rollout restart): it gets the volume as it "
            "is now, with all that was synced",
        ),
        Reason.DRIVE_HAS_RELABEL_ERROR: Meaning(
            _WORSE,
            "what DirectPV keeps on the drive cannot be written",
            "look at the kernel log of the node; if the drive is full, make room on it",
        ),
        Reason.DRIVE_EXPECTS_TO_FAIL: Meaning(
            _WORSE,
            "the disk expects to fail",
            "run: kubectl directpv evacuate {drive}, which moves its volumes to other drives of the node while pods "
            "write; then replace the disk",
        ),
        Reason.DRIVE_IS_SLOW: Meaning(
            _WORSE,
            "requests to the drive take seconds",
            "look at the disk's health (smartctl -a), its cable and its load; a disk that stays slow is about to fail",
        ),
        Reason.DRIVE_IS_FULL: Meaning(
            _WORSE,
            "the drive has less free space than was promised to volumes",
            "find what is on the drive beside its volumes (du -x), and remove it or expand the disk",
        ),
        Reason.DRIVE_IS_OVERCOMMITTED: Meaning(
            _WORSE,
            "volumes were promised more than the drive has",
            "delete volumes that are not needed, or expand the disk",
        ),
        Reason.DRIVE_HAS_DUPLICATE: Meaning(_WORSE, "another device carries a copy of the drive's file system", _COPY),
        Reason.SCAN_FAILED: Meaning(
            _WORSE, "the node's devices cannot be looked at", "look at the log of the node's agent"
        ),
    }
)
"""The worst first."""

BY_CONDITION: Final[Mapping[ConditionType, Reason]] = MappingProxyType(
    {
        ConditionType.MOUNT_ERROR: Reason.DRIVE_HAS_MOUNT_ERROR,
        ConditionType.MULTIPLE_MATCHES: Reason.DRIVE_HAS_MULTIPLE_MATCHES,
        ConditionType.IO_ERROR: Reason.DRIVE_HAS_IO_ERROR,
        ConditionType.RELABEL_ERROR: Reason.DRIVE_HAS_RELABEL_ERROR,
        ConditionType.LOST: Reason.DRIVE_LOST,
        ConditionType.FAILURE_PREDICTED: Reason.DRIVE_EXPECTS_TO_FAIL,
        ConditionType.SLOW: Reason.DRIVE_IS_SLOW,
        ConditionType.FULL: Reason.DRIVE_IS_FULL,
        ConditionType.DUPLICATE: Reason.DRIVE_HAS_DUPLICATE,
    }
)
_BY_STATUS: Final[Mapping[DriveStatus, Reason]] = MappingProxyType(
    {
        DriveStatus.LOST: Reason.DRIVE_LOST,
        DriveStatus.ERROR: Reason.DRIVE_HAS_ERROR,
        DriveStatus.REMOVED: Reason.DRIVE_REMOVED,
        DriveStatus.REPAIRING: Reason.DRIVE_IN_REPAIR,
    }
)
"""States in which a drive does not serve its volumes, when no condition says why."""
_SERVING: Final = frozenset({DriveStatus.READY, DriveStatus.MOVING})
_RANK: Final[Mapping[str, int]] = {reason.value: rank for rank, reason in enumerate(TABLE)}


def reason_for(condition: ConditionType) -> str:
    """Return the word for a condition; of a kind that a later version has, what that version would say most likely."""
    return BY_CONDITION[condition].value if condition in BY_CONDITION else f"DriveHas{condition.value}"


def told(condition: Condition) -> str:
    """Return a condition in a line, as all that people read has it: the reason, and what was seen."""
    return f"{reason_for(condition.type)}: {condition.message}"


def advice_for(reason: str, drive: str) -> str:
    """Return what to do about a reason; empty for a word that this version does not know."""
    return TABLE[Reason(reason)].advice.replace("{drive}", drive) if reason in _RANK else ""


def ailment(reason: Reason, about: str, drive: str = "") -> Ailment:
    """Return what is told of ``reason``; ``about`` names the thing that is not well."""
    meaning = TABLE[reason]
    advice = advice_for(reason, drive or "DRIVE")
    return Ailment(effect=meaning.effect, reason=reason.value, message=f"{about}: {meaning.says}. {advice}")


def ailments_of(
    status: DriveStatus, conditions: Iterable[Condition], about: str, drive: str = ""
) -> tuple[Ailment, ...]:
    """Return what a drive's state and conditions mean for its volumes, the worst first; nothing if it is well.

    Args:
        status: Of the drive; one that a later version wrote counts as Error, as for the drive's own agent.
        conditions: Of the drive.
        about: Names the drive, for people.
        drive: Its id.
    """
    found = [_ailment(each.type, status, about, drive) for each in conditions]
    if status not in _SERVING and not any(each.effect is Effect.INACCESSIBLE for each in found):
        found.append(ailment(_BY_STATUS.get(status, Reason.DRIVE_HAS_ERROR), about, drive))
    return worst(found)


def _ailment(kind: ConditionType, status: DriveStatus, about: str, drive: str) -> Ailment:
    if kind in BY_CONDITION:
        return ailment(BY_CONDITION[kind], about, drive)
    effect = Effect.DEGRADED if status in _SERVING else Effect.INACCESSIBLE
    return Ailment(effect=effect, reason=reason_for(kind), message=f"{about}: condition {kind.value}")


def worst(ailments: Sequence[Ailment]) -> tuple[Ailment, ...]:
    """Return each effect and reason once, the worst first, at most :data:`AT_MOST`."""
    once = {(each.effect, each.reason): each for each in reversed(ailments)}

    def rank(each: Ailment) -> tuple[bool, int, str]:
        return each.effect != Effect.INACCESSIBLE, _RANK.get(each.reason, len(_RANK)), each.reason

    return tuple(sorted(once.values(), key=rank)[:AT_MOST])
