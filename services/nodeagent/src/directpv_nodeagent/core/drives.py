"""Which devices are drives of this node, and how large they are. Decides, and does nothing."""

from collections.abc import Collection, Iterable
from enum import Enum, auto

from msgspec.structs import replace

from directpv_common.messages import DriveRecord, DriveStatus, Segments
from directpv_common.names import FS_LABEL, LEGACY_FS_LABEL
from directpv_nodeagent.core.facts import DeviceFacts
from directpv_nodeagent.core.mountinfo import Mount, MountTable
from directpv_nodeagent.core.signatures import xfs_uuid

_LABELS = frozenset({FS_LABEL, LEGACY_FS_LABEL})


class Verdict(Enum):
    """Whose drive a mounted file system is."""

    OURS = auto()
    """Its record names this node."""
    ADOPT = auto()
    """Laid out by upstream, which kept no record on the drive: ours from now on."""
    FOREIGN = auto()
    """Its record names another node, or cannot be read: not touched."""
    NO_DRIVE = auto()
    """Not laid out by DirectPV, or only half."""


class Standing(Enum):
    """What is mounted at a drive's place."""

    NOTHING = auto()
    RIGHT = auto()
    """The drive's device."""
    DEAD = auto()
    """A file system whose device is gone, or that was shut down; nobody else uses it."""
    DEAD_IN_USE = auto()
    """The same, but volumes of it are mounted somewhere."""
    OTHER = auto()
    """Something alive that is not the drive's device."""


def candidates(found: Iterable[DeviceFacts], known: Collection[str]) -> dict[str, list[DeviceFacts]]:
    """Return the devices that may be drives, by FSUUID: labelled by DirectPV, or known already.

    A known drive that cannot be read any more is found by what udev remembers of it: it is broken, not gone.
    """
    by_fsuuid: dict[str, list[DeviceFacts]] = {}
    for facts in found:
        block = facts.superblock
        if block is not None and (block.label in _LABELS or block.fsuuid in known):
            by_fsuuid.setdefault(block.fsuuid, []).append(facts)
        elif facts.unreadable and not facts.shadow and xfs_uuid(facts) in known:
            by_fsuuid.setdefault(xfs_uuid(facts), []).append(facts)
    return by_fsuuid


def verdict(node: str, fsuuid: str, named: str | None, record: DriveRecord | None) -> Verdict:
    """Tell whose drive it is.

    Args:
        node: This node.
        fsuuid: UUID of the file system.
        named: UUID in ``meta.info``; None if there is no ``meta.info``.
        record: Content of ``drive.json``; None if there is none.
    """
    if named != fsuuid:
        return Verdict.NO_DRIVE
    if record is None:
        return Verdict.ADOPT
    return Verdict.OURS if (record.node, record.fsuuid) == (node, fsuuid) else Verdict.FOREIGN


def standing(table: MountTable, path: str, device: str, *, alive: bool) -> Standing:
    """Tell what is mounted at a drive's place.

    Args:
        table: The mount table.
        path: The place.
        device: ``major:minor`` of the device that carries the drive now.
        alive: Whether what is mounted there can be read, and its device exists.
    """
    top = table.at(path)
    if top is None:
        return Standing.NOTHING
    if alive:
        return Standing.RIGHT if top.device == device else Standing.OTHER
    return Standing.DEAD_IN_USE if users(table, top) else Standing.DEAD


def users(table: MountTable, drive: Mount) -> list[str]:
    """Return where else the file system of ``drive`` is mounted, in whole or in part, sorted."""
    return sorted({mount.path for mount in table.of(drive.device)} - {drive.path})


def overhead_at_init(total: int, free_after_mkfs: int, free_after_mount: int) -> int:
    """Return the bytes that a new file system keeps for itself; the larger of two accounts is the safe one."""
    return max(0, total - min(free_after_mkfs, free_after_mount))


def overhead_of_adopted(total: int, free: int, used: int) -> int:
    """Return the overhead of a drive that upstream filled; ``used``: bytes in its volumes, a lower bound will do."""
    return max(0, total - free - used)


def new_record(facts: DeviceFacts, node: str, fsuuid: str, overhead: int, topology: Segments, now: str) -> DriveRecord:
    """Return the record of a drive that has none; ``facts`` has a super block."""
    assert facts.superblock is not None
    return DriveRecord(
        fsuuid=fsuuid,
        node=node,
        total=facts.superblock.total,
        overhead=min(overhead, facts.superblock.total),
        device=facts.name,
        make=facts.make,
        topology=topology,
        created=now,
    )


def refreshed(record: DriveRecord, facts: DeviceFacts, topology: Segments) -> DriveRecord:
    """Return ``record`` with what can be seen of its device now; a drive that was mounted and read is Ready."""
    total = facts.superblock.total if facts.superblock else record.total
    return replace(
        record,
        device=facts.name,
        make=facts.make or record.make,
        topology=topology,
        total=total,
        status=DriveStatus.READY,
        conditions=(),
    )
