"""Which devices are drives of this node, and how large they are. Decides, and does nothing."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum, auto
from types import MappingProxyType

from msgspec.structs import replace

from directpv_common.protocol.inodes import set_aside
from directpv_common.protocol.messages import DriveRecord, DriveStatus, Segments
from directpv_common.protocol.names import FS_LABEL, LEGACY_FS_LABEL
from directpv_common.protocol.names import FS_TYPE as XFS
from directpv_common.protocol.units import format_bytes
from directpv_nodeagent.devices.core.disk_identity import main_path
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.core.signatures import xfs_uuid
from directpv_nodeagent.devices.core.udev_data import FS_TYPE
from directpv_nodeagent.layout.core.layout import LEAST_FREE, MNT_DIR
from directpv_nodeagent.linux.core.mountinfo import MountTable

_LABELS = frozenset({FS_LABEL, LEGACY_FS_LABEL})


class Verdict(Enum):
    """Whose drive a mounted file system is."""

    OURS = auto()
    """Its record names this node."""
    ADOPT = auto()
    """Laid out by upstream, which kept no record on the drive: ours from now on."""
    FOREIGN = auto()
    """Its record names another node, or cannot be read: not touched."""
    RETIRED = auto()
    """Its record says that it was given up: nobody's, until people say otherwise."""
    NO_DRIVE = auto()
    """Not laid out by DirectPV, or only half."""


class Standing(Enum):
    """What is mounted at a drive's place."""

    NOTHING = auto()
    RIGHT = auto()
    """The drive's device."""
    DEAD = auto()
    """A file system whose device is gone, or that was shut down."""
    OTHER = auto()
    """Something alive that is not the drive's device."""


def candidates(
    found: Iterable[DeviceFacts], known: Mapping[str, str], disks: Mapping[str, str] = MappingProxyType({})
) -> dict[str, list[DeviceFacts]]:
    """Return the devices that may be drives, by FSUUID: labelled by DirectPV, or known already.

    A known drive is broken, not gone, if its device cannot be read any more (then udev remembers whose it is), or can
    be read but shows neither a super block nor anything else.

    Args:
        found: All devices.
        known: Drives that the agent has, by FSUUID: ``major:minor`` of the device that carried each when last seen;
            empty for one that is lost.
        disks: Identities of the disks that drives were on before the agent started, by FSUUID: broken disks are told
            by them, whole ones tell themselves whose they are.
    """
    found = tuple(found)
    by_fsuuid: dict[str, list[DeviceFacts]] = {}
    by_device = {device: fsuuid for fsuuid, device in known.items() if device}
    for facts in map(_shown, found):
        block = facts.superblock
        if block is not None and (block.label in _LABELS or block.fsuuid in known):
            by_fsuuid.setdefault(block.fsuuid, []).append(facts)
        elif facts.unreadable and not facts.shadow and xfs_uuid(facts) in known:
            by_fsuuid.setdefault(xfs_uuid(facts), []).append(facts)
        elif facts.major_minor in by_device and (facts.pending or _is_still(by_device[facts.major_minor], facts)):
            by_fsuuid.setdefault(by_device[facts.major_minor], []).append(facts)
    told = {facts.name for devices in by_fsuuid.values() for facts in devices}
    for fsuuid, facts in _broken(found, disks):
        if fsuuid not in known and facts.name not in told:
            by_fsuuid.setdefault(fsuuid, [facts])
    return {
        fsuuid: _one_per_disk(_without_parts(devices), known.get(fsuuid, "")) for fsuuid, devices in by_fsuuid.items()
    }


def _is_still(fsuuid: str, facts: DeviceFacts) -> bool:
    """Tell whether a device that carried a drive a moment ago has lost its super block, and is used as nothing else."""
    other = facts.udev.get(FS_TYPE, "") not in ("", XFS)
    used = facts.swap or (bool(facts.mount_points) and other and not is_mounted(facts, fsuuid))
    return is_damaged(facts) and not used


def _broken(found: Sequence[DeviceFacts], disks: Mapping[str, str]) -> Iterator[tuple[str, DeviceFacts]]:
    """Find disks that cannot be read, or have lost their super block, and carried a drive when last seen.

    A disk that another path shows whole is not broken, and one of which two drives are remembered tells neither.
    """
    times = Counter(disks.values())
    by_disk = {disk: fsuuid for fsuuid, disk in disks.items() if disk and times[disk] == 1}
    whole = {facts.identity for facts in found if not _is_broken(facts)}
    for facts in found:
        if not _is_broken(facts):
            continue
        fsuuid = by_disk.get(facts.identity, "") if facts.identity not in whole else ""
        if not fsuuid and facts.unreadable and xfs_uuid(facts) in disks:
            fsuuid = xfs_uuid(facts)
        if fsuuid and not _is_given_away(facts, fsuuid):
            yield fsuuid, facts


def _is_broken(facts: DeviceFacts) -> bool:
    return is_damaged(facts) or (bool(facts.unreadable) and facts.shadow is None)


def _is_given_away(facts: DeviceFacts, fsuuid: str) -> bool:
    """Tell whether a device that shows nothing is used as something else than the drive ``fsuuid``, or was."""
    if facts.mount_points:  # neither is its content looked at, see Prober.read_content
        return not is_mounted(facts, fsuuid)
    other = facts.udev.get(FS_TYPE, "") not in ("", XFS) or xfs_uuid(facts) not in ("", fsuuid)
    return other or facts.swap or facts.partitioned or bool(facts.holders or facts.users)


def _shown(facts: DeviceFacts) -> DeviceFacts:
    """Return a device that is part of another as a drive's own, if the drive is mounted from it: it was there first."""
    if not facts.claimed or facts.shadow is None or not is_mounted(facts, facts.shadow.fsuuid):
        return facts
    return dataclasses.replace(facts, superblock=facts.shadow)


def is_mounted(facts: DeviceFacts, fsuuid: str) -> bool:
    """Tell whether the device is mounted at the place of drive ``fsuuid``."""
    return any(point.endswith(f"/{MNT_DIR}/{fsuuid}") for point in facts.mount_points)


def _one_per_disk(devices: list[DeviceFacts], current: str) -> list[DeviceFacts]:
    """Leave out further paths to a disk: of each, the one that carries the drive now stays, else the first by name."""
    disks: dict[str, list[DeviceFacts]] = {}
    for facts in devices:
        disks.setdefault(facts.identity or facts.name, []).append(facts)
    return [next((f for f in paths if f.major_minor == current), main_path(paths)) for paths in disks.values()]


def _without_parts(devices: list[DeviceFacts]) -> list[DeviceFacts]:
    """Leave out partitions of disks that are among ``devices``: both show the same bytes.

    Kernels that know old partition tables (Atari's has no magic number) see such partitions in file systems.
    """
    names = {facts.name for facts in devices}
    return [facts for facts in devices if facts.disk not in names]


def is_damaged(facts: DeviceFacts) -> bool:
    """Tell whether a device that carried a drive has lost its super block, and was not given to anything else."""
    nothing = facts.superblock is None and facts.shadow is None and not facts.signatures
    return nothing and not facts.unreadable and not facts.partitioned and not facts.holders


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
    if record.retired:
        return Verdict.RETIRED
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
    return Standing.DEAD


def fullness(free_on_disk: int, free: int, total: int) -> str:
    """Return in words that a mounted drive lacks space which it should have; empty if it does not.

    Args:
        free_on_disk: Bytes that its file system can still give.
        free: Bytes that are promised to nobody yet, by account.
        total: Size of the file system; a hundredth of it may go to metadata that comes with files.
    """
    if free_on_disk < LEAST_FREE:
        return f"its file system has {format_bytes(free_on_disk)} left"
    if free_on_disk + max(total // 100, LEAST_FREE) < free:
        return (
            f"{format_bytes(free)} should be free for new volumes, but its file system has "
            f"{format_bytes(free_on_disk)} left: something beside volumes takes space"
        )
    return ""


def overhead_at_init(total: int, free_after_mkfs: int, free_after_mount: int) -> int:
    """Return the bytes that a new file system keeps for itself and for the inodes of volumes.

    Of two accounts of what is free the smaller one is the safe one.
    """
    free = min(free_after_mkfs, free_after_mount)
    return max(0, total - free + set_aside(free))


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
    """Return ``record`` with what can be seen of its device now; a drive that was mounted and read is Ready.

    Its size is not touched: that and the overhead follow the mounted file system together (:mod:`.growth`).
    """
    return replace(
        record,
        device=facts.name,
        make=facts.make or record.make,
        topology=topology,
        status=DriveStatus.READY,
        conditions=(),
    )
