"""Drives that are given up: what people ask for, what the leader orders, and what becomes of it."""

from directpv_common.protocol.messages.base import (
    Bytes,
    Count,
    Fence,
    FsUuid,
    Message,
    NodeName,
    Timestamp,
    VolumeName,
)
from directpv_common.protocol.messages.drives import DriveId
from directpv_common.protocol.messages.volumes import VolumeRecord
from directpv_common.protocol.open_enum import OpenStrEnum


class Wipe(OpenStrEnum):
    """What becomes of the data on a drive that is given up."""

    NONE = "none"
    """The file system stays as it is."""
    ZERO = "zero"
    """All of the device is zeroed."""
    DISCARD = "discard"
    """All of the device is discarded, and its beginning zeroed: what can be read then is the disk's affair."""


class RemoveDrive(DriveId, frozen=True, kw_only=True):
    """CLI -> controller: take a drive without volumes out of use. Source: upstream's ``remove``."""

    wipe: Wipe = Wipe.NONE
    dry_run: bool = False
    """Say what would be done, and change nothing."""
    lost: bool = False
    """It is dead, and shall go with its volumes; what is on the disk is not touched."""


class LostVolume(Message, frozen=True, kw_only=True):
    """A volume that is given up with its drive, and who has it."""

    name: VolumeName
    capacity: Bytes = 0
    pvc_name: str = ""
    pvc_namespace: str = ""
    pod_name: str = ""
    pod_namespace: str = ""


class RemovalOutcome(OpenStrEnum):
    """What came of giving up a drive."""

    REMOVED = "Removed"
    """Its record is gone; its node has given it up, or has no such disk."""
    WAITING = "Waiting"
    """It is recorded, and its node has not carried it out yet."""
    WOULD_REMOVE = "WouldRemove"
    """Nothing was done: a dry run."""


class DriveRemoval(Message, frozen=True, kw_only=True):
    """What came of giving up one drive."""

    fsuuid: FsUuid
    node: str = ""
    device: str = ""
    outcome: RemovalOutcome
    message: str = ""
    """In words, with what to do next."""
    online: bool = True
    """Whether its node is there."""
    count: Count = 0
    """How many volumes go with it; of a lost drive only."""
    volumes: tuple[LostVolume, ...] = ()
    """Some of them, in the order of their names."""


class RemoveNode(Message, frozen=True, kw_only=True):
    """CLI -> controller: give up the drives of a node that is gone for good, with their volumes."""

    node: NodeName
    dry_run: bool = False


class NodeRemoval(Message, frozen=True, kw_only=True):
    """What came of giving up a node: one entry for each of its drives."""

    node: NodeName
    drives: tuple[DriveRemoval, ...] = ()
    key: bool = False
    """Whether the key by which its server came to the bus was forgotten, or would be."""
    since: Timestamp = ""
    """It was removed before, at that time, and is known no more; empty: it was removed now, or would be."""


class GivenUpNode(Message, frozen=True, kw_only=True):
    """A node that was given up with its drives. Kept in the registry until it has drives again."""

    name: NodeName
    since: Timestamp = ""
    """Empty: that is not remembered any more."""
    back: Timestamp = ""
    """When it was heard again; empty: it was not."""


class ReleaseDrive(DriveId, frozen=True, kw_only=True):
    """Leader -> node: give up a drive that has no volumes: note that on the drive itself, unmount it, wipe it if asked.

    Safe to repeat: a drive that was given up already, or is not there, is told so.
    """

    wipe: Wipe = Wipe.NONE
    lost: bool = False
    """Give it up with all that is on it: it was declared lost, and its volumes are in no registry any more."""
    since: Timestamp = ""
    """When it was given up; empty: the leader is of a version that does not tell, or does not know."""
    fence: Fence


class DriveReleased(Message, frozen=True, kw_only=True):
    """How far a node is with giving up a drive."""

    released: bool
    """The node has it no more; otherwise it is at work on it: ask again."""
    noted: bool = False
    """If the disk ever shows the drive again, the disk itself says that it was given up, or nothing is left on it."""
    message: str = ""
    """In words: what is done at the moment, or where the disk is."""


class RetiredDrive(Message, frozen=True, kw_only=True):
    """A drive that was given up without its disk knowing of it: should the disk come back, its node is told to.

    Kept in the registry; see ``ReleaseDrive``.
    """

    fsuuid: FsUuid
    node: NodeName
    device: str = ""
    """Kernel name that its device had last; empty: not known."""
    since: Timestamp = ""
    deleting: tuple[VolumeRecord, ...] = ()
    """Volumes of it whose deletion was acknowledged, and not carried out: it is, should people want the drive back."""
