"""What becomes of a drive when its agent looks at it: one table, for every state and everything that can be seen.

            device gone        ┌───────┐        I/O error, mount fails,
          ┌────────────────────│ Ready │────────────────────┐  two devices
          ▼                    └───────┘                    ▼
       ┌──────┐  mounted again  ▲     ▲  mounted and read ┌───────┐
       │ Lost │─────────────────┘     └───────────────────│ Error │
       └──────┘                                           └───────┘
          │  ▲                 device gone                  │  ▲ ▲
          │  └──────────────────────────────────────────────┘  │ │
          └────────────────────────────────────────────────────┘ │ operation ended
                    mount fails, two devices                     │ (Moving: to Ready)
                                              ┌──────────────────┴─────────┐
                  repair, move, remove ──────►│ Repairing  Moving  Removed │
                                              └────────────────────────────┘

A state is left when its cause goes, at the next look and without a restart: a drive that is mounted and can be read
is Ready, whatever was wrong before. (Upstream keeps ``Error`` after an I/O error, and forgets a repair when the
device is away for a moment.)

People own Repairing, Moving and Removed. Such a state lasts until ``OPERATION_ENDED`` (``CHECK_ENDED`` of a drive that
was well and to which nothing was done: it is Ready then), which also is what an agent
sees that starts and finds nobody at work on the drive; what is seen meanwhile changes nothing. A drive that is
repaired or removed is not mounted behind that operation's back; one whose volumes are moved away is kept mounted.

Nothing here formats or deletes, and nothing unmounts what somebody uses: no sequence of looks can harm data.
Source: upstream's states and conditions, and what is known of their weaknesses.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from directpv_common.protocol.messages import ConditionType, DriveStatus


class Observation(StrEnum):
    """What one look at a drive showed. Those further up are to be reported before those further down."""

    OPERATION_ENDED = "OperationEnded"
    """Repair, move or remove ended or was given up; look again for what the drive is now."""
    CHECK_ENDED = "CheckEnded"
    """A check that changes nothing, of a drive that was well before, ended: mount it again."""
    ABSENT = "Absent"
    """No device carries its FSUUID, whatever the mount table still shows."""
    DUPLICATE = "Duplicate"
    """Two or more devices carry its FSUUID: a clone, or paths to one disk without multipath."""
    STALE_MOUNT = "StaleMount"
    """One device carries its FSUUID, but its failed file system is held by others, so that it cannot be mounted."""
    PRESENT_UNMOUNTED = "PresentUnmounted"
    """One device carries its FSUUID; it is not mounted."""
    MOUNT_FAILED = "MountFailed"
    """One device carries its FSUUID; mounting it was tried, and failed."""
    IO_ERROR = "IOError"
    """It is mounted, but its root cannot be read or written."""
    RELABEL_FAILED = "RelabelFailed"
    """It is mounted and readable, but its symbolic link or metadata cannot be made."""
    READ_ONLY = "ReadOnly"
    """It is mounted and readable, but somebody remounted it read-only, or its device is write-protected."""
    PRESENT_MOUNTED = "PresentMounted"
    """It is mounted, its root can be read, its metadata is right: it is well."""


class Action(StrEnum):
    """What the agent shall do now; look again afterwards."""

    MOUNT = "Mount"
    """Mount the drive at its place; nothing to do if it is."""
    REMOUNT = "Remount"
    """Unmount the dead file system at its place, if and only if no volume of it is mounted anywhere; then mount.

    A file system that was shut down serves nobody before that; with volumes in use, the next look tries again."""


class Step(NamedTuple):
    """Outcome of one look."""

    status: DriveStatus
    condition: ConditionType | None = None
    """What is wrong. None with status Error: what was wrong still is; with any other: nothing is."""
    event: str | None = None
    """Kind of the ``drive.<kind>`` event to emit; only when the status changes, so that repeated looks are silent."""
    action: Action | None = None


READY: Final = DriveStatus.READY
LOST: Final = DriveStatus.LOST
ERROR: Final = DriveStatus.ERROR
REPAIRING: Final = DriveStatus.REPAIRING
MOVING: Final = DriveStatus.MOVING
REMOVED: Final = DriveStatus.REMOVED

MOUNT_ERROR: Final = ConditionType.MOUNT_ERROR
MULTIPLE_MATCHES: Final = ConditionType.MULTIPLE_MATCHES
IO_ERROR: Final = ConditionType.IO_ERROR
RELABEL_ERROR: Final = ConditionType.RELABEL_ERROR
NO_DEVICE: Final = ConditionType.LOST

_O = Observation
_MOUNT: Final = Action.MOUNT
_REMOUNT: Final = Action.REMOUNT

TABLE: Final[Mapping[DriveStatus, Mapping[Observation, Step]]] = MappingProxyType(
    {
        READY: {
            _O.OPERATION_ENDED: Step(READY),
            _O.CHECK_ENDED: Step(READY),
            _O.ABSENT: Step(LOST, NO_DEVICE, "lost"),
            _O.DUPLICATE: Step(ERROR, MULTIPLE_MATCHES, "error"),
            _O.STALE_MOUNT: Step(ERROR, MOUNT_ERROR, "error", _REMOUNT),
            _O.PRESENT_UNMOUNTED: Step(READY, None, None, _MOUNT),
            _O.MOUNT_FAILED: Step(ERROR, MOUNT_ERROR, "error"),
            _O.IO_ERROR: Step(ERROR, IO_ERROR, "error", _REMOUNT),
            _O.RELABEL_FAILED: Step(ERROR, RELABEL_ERROR, "error"),
            _O.READ_ONLY: Step(ERROR, MOUNT_ERROR, "error"),
            _O.PRESENT_MOUNTED: Step(READY),
        },
        LOST: {
            _O.OPERATION_ENDED: Step(LOST),
            _O.CHECK_ENDED: Step(LOST),
            _O.ABSENT: Step(LOST, NO_DEVICE),
            _O.DUPLICATE: Step(ERROR, MULTIPLE_MATCHES, "error"),
            _O.STALE_MOUNT: Step(ERROR, MOUNT_ERROR, "error", _REMOUNT),
            _O.PRESENT_UNMOUNTED: Step(LOST, None, None, _MOUNT),
            _O.MOUNT_FAILED: Step(ERROR, MOUNT_ERROR, "error"),
            _O.IO_ERROR: Step(ERROR, IO_ERROR, "error", _REMOUNT),
            _O.RELABEL_FAILED: Step(ERROR, RELABEL_ERROR, "error"),
            _O.READ_ONLY: Step(ERROR, MOUNT_ERROR, "error"),
            _O.PRESENT_MOUNTED: Step(READY, None, "found"),
        },
        ERROR: {
            _O.OPERATION_ENDED: Step(ERROR),
            _O.CHECK_ENDED: Step(ERROR),
            _O.ABSENT: Step(LOST, NO_DEVICE, "lost"),
            _O.DUPLICATE: Step(ERROR, MULTIPLE_MATCHES),
            _O.STALE_MOUNT: Step(ERROR, MOUNT_ERROR, None, _REMOUNT),
            _O.PRESENT_UNMOUNTED: Step(ERROR, None, None, _MOUNT),
            _O.MOUNT_FAILED: Step(ERROR, MOUNT_ERROR),
            _O.IO_ERROR: Step(ERROR, IO_ERROR, None, _REMOUNT),
            _O.RELABEL_FAILED: Step(ERROR, RELABEL_ERROR),
            _O.READ_ONLY: Step(ERROR, MOUNT_ERROR),
            _O.PRESENT_MOUNTED: Step(READY, None, "recovered"),
        },
        REPAIRING: {
            **dict.fromkeys(_O, Step(REPAIRING)),
            _O.OPERATION_ENDED: Step(ERROR, MOUNT_ERROR, "repair-ended", _MOUNT),
            _O.CHECK_ENDED: Step(READY, None, "check-ended", _MOUNT),
        },
        MOVING: {
            _O.OPERATION_ENDED: Step(READY, None, "move-ended", _MOUNT),
            _O.CHECK_ENDED: Step(MOVING),
            _O.ABSENT: Step(MOVING, NO_DEVICE),
            _O.DUPLICATE: Step(MOVING, MULTIPLE_MATCHES),
            _O.STALE_MOUNT: Step(MOVING, MOUNT_ERROR, None, _REMOUNT),
            _O.PRESENT_UNMOUNTED: Step(MOVING, None, None, _MOUNT),
            _O.MOUNT_FAILED: Step(MOVING, MOUNT_ERROR),
            _O.IO_ERROR: Step(MOVING, IO_ERROR, None, _REMOUNT),
            _O.RELABEL_FAILED: Step(MOVING, RELABEL_ERROR),
            _O.READ_ONLY: Step(MOVING, MOUNT_ERROR),
            _O.PRESENT_MOUNTED: Step(MOVING),
        },
        REMOVED: {
            **dict.fromkeys(_O, Step(REMOVED)),
            _O.OPERATION_ENDED: Step(ERROR, MOUNT_ERROR, "remove-ended", _MOUNT),
        },
    }
)
"""The table; :func:`step` reads it."""


def step(status: DriveStatus, observation: Observation) -> Step:
    """Return what a drive of ``status`` becomes when ``observation`` is made, and what to do about it.

    A status that a later version wrote counts as Error: it is left as soon as the drive is seen to be well.
    """
    return TABLE.get(status, TABLE[ERROR])[observation]
