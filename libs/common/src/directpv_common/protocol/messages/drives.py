"""Drives: one XFS on one whole device, which DirectPV formatted."""

from typing import Annotated

from msgspec import Meta

from directpv_common.protocol.messages.base import (
    Bytes,
    Count,
    Fence,
    Filters,
    FsUuid,
    Message,
    NodeName,
    PageLimit,
    Segments,
    Timestamp,
)
from directpv_common.protocol.names import AccessTier
from directpv_common.protocol.open_enum import OpenStrEnum


class DriveStatus(OpenStrEnum):
    """State of a drive; only ``Ready`` takes new volumes. Source: upstream's DirectPVDrive ``status.status``."""

    READY = "Ready"
    LOST = "Lost"
    ERROR = "Error"
    REMOVED = "Removed"
    MOVING = "Moving"
    REPAIRING = "Repairing"


class ConditionType(OpenStrEnum):
    """What is wrong with a drive. The first five say why it is not Ready; upstream has them, Lost for volumes.

    The others are warnings: a drive that has one keeps its status and serves its volumes.
    """

    MOUNT_ERROR = "MountError"
    MULTIPLE_MATCHES = "MultipleMatches"
    IO_ERROR = "IOError"
    RELABEL_ERROR = "RelabelError"
    LOST = "Lost"
    """No device of its node carries its file system."""
    FAILURE_PREDICTED = "FailurePredicted"
    """The disk itself expects to fail (SMART), or has worn out."""
    SLOW = "Slow"
    """Requests take seconds."""
    DUPLICATE = "Duplicate"
    """Another device carries a copy of its file system, or it is mounted through one of several paths."""
    FULL = "Full"
    """The file system has less free space than was promised to volumes, or none: it takes no new ones."""


class Condition(Message, frozen=True, kw_only=True):
    """One thing that is wrong, in words; a drive that is well has none."""

    type: ConditionType
    message: str
    since: Timestamp


class DriveRecord(Message, frozen=True, kw_only=True):
    """What is known of a drive, in the registry and on the drive itself (``.directpv/drive.json``).

    The node agent owns what it observes (``device`` to ``conditions``); the registry owns what people
    decide (``unschedulable``, ``access_tier``, ``labels``).
    """

    fsuuid: FsUuid
    node: NodeName
    total: Bytes
    """Data blocks times block size of the XFS."""
    overhead: Bytes
    """Bytes that the file system keeps for itself; ``total - overhead`` can be given to volumes."""
    device: str = ""
    """Kernel name without ``/dev/``, for instance ``nvme0n1``; empty when no device carries the FSUUID."""
    last_device: str = ""
    """Of the registry alone, while no device carries it: the name of the one that did last; empty: not known."""
    make: str = ""
    """Device-mapper name, vendor, model, partition, for people."""
    topology: Segments = {}
    status: DriveStatus = DriveStatus.READY
    conditions: tuple[Condition, ...] = ()

    unschedulable: bool = False
    """Cordoned: no new volumes."""
    access_tier: AccessTier = AccessTier.DEFAULT
    labels: dict[str, str] = {}
    """User labels with their full keys, and ``directpv.min.io/suspend``."""
    created: Timestamp = ""
    unread: bool = False
    """Of the registry alone: it has never been told which volumes the drive has, for nobody could read it."""
    removal: str = ""
    """Of the registry alone, of a drive that is being given up: how it is wiped; see ``Wipe``."""
    removed: Timestamp = ""
    """Of the registry alone, of a drive that is being given up: since when."""
    retired: Timestamp = ""
    """Of the drive alone: since when it is nobody's, for it was given up. No agent takes it over."""


CONTESTED_AT_MOST = 16
"""Volumes that a drive's summary names of those that should not be there."""


class DriveInfo(Message, frozen=True, kw_only=True):
    """A drive as the controller shows it."""

    record: DriveRecord
    free: Bytes
    allocated: Bytes
    """``record.overhead`` plus the sum of the volumes' capacities; ``free + allocated == record.total``."""
    volumes: Count
    online: bool = True
    """Whether its node is there; what is shown of the drive is what was last heard."""
    contested: dict[str, str] = {}
    """Volumes that the drive shows and the registry does not have there, at most :data:`CONTESTED_AT_MOST`, each with
    the drive where it has them; empty: nowhere, or it has another one of that name."""
    contesting: Count = 0
    """How many there are of them."""
    strays: Bytes = 0
    """Bytes that are taken there by what the registry does not have there: such volumes, and copies of moves."""


class ListDrives(Filters, frozen=True, kw_only=True):
    """Ask for drives."""

    ids: tuple[str, ...] = ()
    statuses: tuple[DriveStatus, ...] = ()
    unwell: bool = False
    """Only those that are not Ready, in whatever state; a controller of an earlier version returns all."""
    labels: dict[str, str] = {}
    given_up: bool = False
    """Those that were given up instead, as far as they are remembered; a controller of an earlier version has none."""
    token: str = ""
    limit: PageLimit = 0


class GivenUpDrive(Message, frozen=True, kw_only=True):
    """A drive that was removed, as far as that is remembered."""

    fsuuid: FsUuid
    node: NodeName
    device: str = ""
    """Kernel name that its device had last; empty: not known."""
    since: Timestamp = ""


class DrivePage(Message, frozen=True, kw_only=True):
    """Some drives, ordered by id; ``next`` is empty on the last page."""

    drives: tuple[DriveInfo, ...]
    given_up: tuple[GivenUpDrive, ...] = ()
    """Drives that are there no more, if these were asked for."""
    next: str = ""


class DriveId(Message, frozen=True, kw_only=True):
    """Names one drive; base of what is asked for one."""

    fsuuid: FsUuid


class ChangeDrive(DriveId, frozen=True, kw_only=True):
    """Change what people decide about one drive; None and empty mean: leave as it is."""

    unschedulable: bool | None = None
    suspended: bool | None = None
    """Its volumes show an empty read-only directory from their next stage and publish on."""
    set_labels: dict[str, str] = {}
    remove_labels: tuple[str, ...] = ()


class LocateDrive(DriveId, frozen=True, kw_only=True):
    """CLI -> controller -> node: find the disk of a drive by the locate light of its bay. Harmless to repeat."""

    on: bool | None = None
    """Put it on, or out; None: say how it is."""


class BayLight(Message, frozen=True, kw_only=True):
    """The locate light of the bay that a drive's disk is in, as its enclosure shows it."""

    fsuuid: FsUuid
    node: str
    device: str
    """Name of the drive's device, as ``sdb``."""
    bay: str
    """What the enclosure calls the slot; for NVMe the address of its port."""
    on: bool
    serial: str = ""
    """Of the disk, as it is printed on it; empty if it is not known."""


# ---- repair ---------------------------------------------------------------------------------------------------


class RepairDrive(DriveId, frozen=True, kw_only=True):
    """CLI -> controller: check, and unless ``dry_run`` repair, the file system of a drive that nothing uses.

    Source: upstream's ``repair`` and its flags, which are those of xfs_repair.
    """

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    """Chosen by the caller. A repeat with the same id never begins a second run: it finds the first one's outcome."""
    force: bool = False
    """Throw a log away that cannot be replayed (``xfs_repair -L``): loses what was written last."""
    disable_prefetch: bool = False
    """``xfs_repair -P``."""
    dry_run: bool = False
    """``xfs_repair -n``: look, and change nothing."""


class OrderRepair(RepairDrive, frozen=True, kw_only=True):
    """Leader -> node: the same."""

    fence: Fence


class RepairOutcome(OpenStrEnum):
    """What came of a repair."""

    RUNNING = "Running"
    CLEAN = "Clean"
    """Nothing was wrong."""
    REPAIRED = "Repaired"
    DAMAGED = "Damaged"
    """A dry run found damage; it is still there."""
    FAILED = "Failed"
    """xfs_repair could not do its work, was not begun, or the drive cannot be mounted after it."""


class RepairStatus(Message, frozen=True, kw_only=True):
    """Where the repair of a drive stands; the node remembers the last one of each drive until its agent restarts."""

    fsuuid: FsUuid
    id: str
    """That of the request that began it."""
    outcome: RepairOutcome
    dry_run: bool = False
    message: str = ""
    """In words, with what to do next."""
    output: str = ""
    """The end of what xfs_repair said."""
    exit_status: int | None = None
    """Of xfs_repair; negative: the signal that ended it. None: it did not run, or has not ended."""
    status: DriveStatus = DriveStatus.REPAIRING
    """The drive's state, after it was mounted again."""
    started: Timestamp = ""
    ended: Timestamp = ""
