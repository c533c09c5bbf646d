"""The one table of what closes a drive to all new volumes: for refusals, for ``explain``, for metrics.

:attr:`.model.Drive.open` asks the same in one expression, for it is asked for each change of each drive; a test holds
that the two agree.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from directpv_common.protocol.messages import DriveStatus
from directpv_controller.core.placing.model import Drive, is_full, is_suspended


class Closed(NamedTuple):
    """One thing that closes a drive."""

    holds: Callable[[Drive], bool]
    reason: str
    """One word of CamelCase, for metrics; empty: the drive's status."""
    short: str
    """After a number of drives; empty: the drive's status."""
    why: str
    """After the drive; a format of ``drive``, a :class:`.model.Drive`."""
    change: str
    """The smallest change that would open it, likewise."""


CLOSED: Final = (
    Closed(
        lambda drive: drive.record.status is not DriveStatus.READY,
        "",
        "",
        "it is {drive.record.status}",
        "see what is wrong: kubectl directpv explain drive {drive.fsuuid}",
    ),
    Closed(
        lambda drive: drive.offline,
        "Offline",
        "offline",
        "node {drive.record.node} is offline",
        "start the agent, or the machine, of {drive.record.node}",
    ),
    Closed(
        lambda drive: drive.record.unschedulable,
        "Cordoned",
        "cordoned",
        "it is cordoned",
        "kubectl directpv uncordon {drive.fsuuid}",
    ),
    Closed(
        lambda drive: is_suspended(drive.record),
        "Suspended",
        "suspended",
        "it is suspended",
        "kubectl directpv resume drives {drive.fsuuid}",
    ),
    Closed(
        lambda drive: is_full(drive.record),
        "Full",
        "full",
        "its file system has less space than it should",
        "remove what is beside its volumes",
    ),
    Closed(
        lambda drive: drive.overcommitted,
        "Overcommitted",
        "overcommitted",
        "more was promised than it has",
        "delete volumes on it, or expand the disk",
    ),
    Closed(
        lambda drive: drive.pending or drive.partial or not drive.known,
        "Registering",
        "being registered",
        "it is not registered yet",
        "wait until its node has reported it and its volumes",
    ),
)

CLOSED_REASONS: Final = (
    *(status.value for status in DriveStatus if status is not DriveStatus.READY),
    *(each.reason for each in CLOSED if each.reason),
)
"""Every word that :func:`first_reason` says."""


def closed(drive: Drive) -> Iterator[Closed]:
    """Yield all that closes the drive, the gravest first; nothing if it is open."""
    return (each for each in CLOSED if each.holds(drive))


def first_reason(drive: Drive) -> tuple[str, str]:
    """Return the gravest, in one word and in words, of a drive that is not open."""
    first = next(closed(drive))
    status = drive.record.status.value
    return first.reason or status, first.short or status.lower()
