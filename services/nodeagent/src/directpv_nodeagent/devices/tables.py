"""Which devices are in use, as mount tables, swap table and file systems of the whole machine tell. Blocking."""

import os
import stat
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from directpv_common.protocol.errors import DriveFault
from directpv_nodeagent.devices.core.tables import parse_cdroms, parse_swaps
from directpv_nodeagent.devices.sysfs import Roots, names_in, read_text
from directpv_nodeagent.devices.users import read_users
from directpv_nodeagent.linux.core.mountinfo import Mount, parse

ELSEWHERE: Final = "(mount namespace out of sight)"
"""Stands for a mount point: the kernel has the file system mounted, but no mount table that can be read shows it."""
_BY_DEVICE: Final = ("xfs", "ext4", "f2fs")
"""File systems that have one sysfs folder per mounted device, whatever the mount namespace."""


@dataclass(frozen=True)
class InUse:
    """A snapshot of what is in use; made by :func:`read_tables`."""

    roots: Roots
    by_number: dict[str, tuple[str, ...]]
    by_member: dict[str, tuple[str, ...]]
    """Kernel name in sysfs of a btrfs member to mount points."""
    fs_types: dict[str, str]
    """``<major>:<minor>`` to the type of the file system that is mounted from it."""
    swaps: frozenset[str]
    """``<major>:<minor>`` of swap devices."""
    cdroms: frozenset[str]
    users: Mapping[str, tuple[str, ...]]
    """``<major>:<minor>`` to who uses the device as it is; empty unless asked for."""

    def mount_points(self, name: str, number: str) -> tuple[str, ...]:
        """Return where a device is mounted, sorted; :data:`ELSEWHERE` if only the kernel knows."""
        entry = name.replace("/", "!")
        found = {*self.by_number.get(number, ()), *self.by_member.get(entry, ())}
        if not found and any((self.roots.sys / "fs" / kind / entry).exists() for kind in _BY_DEVICE):
            found = {ELSEWHERE}
        return tuple(sorted(found))


def read_tables(roots: Roots, *, thorough: bool = False) -> InUse:
    """Read all tables once; what this process and what the machine's first process see are united.

    Args:
        roots: Where the system's trees are.
        thorough: Whether to ask also who uses devices as they are.

    Raises:
        DriveFault: No mount table can be read, so that nothing can be said to be unused.
    """
    tables = (read_text(roots.proc / process / "mountinfo") for process in ("self", "1"))
    mounts = parse(*tables).mounts
    if not mounts:
        raise DriveFault(f"no mount table can be read in {roots.proc}: is /proc mounted?")
    by_number: defaultdict[str, set[str]] = defaultdict(set)
    for mount in mounts:
        by_number[_number(roots, mount)].add(mount.path)
    return InUse(
        roots=roots,
        by_number={number: tuple(sorted(points)) for number, points in by_number.items()},
        by_member=_btrfs_members(roots, by_number),
        fs_types={_number(roots, mount): mount.fs_type for mount in mounts},
        swaps=frozenset(_device_number(path) for path in _swaps(roots)) - {""},
        cdroms=parse_cdroms(read_text(roots.proc / "sys/dev/cdrom/info")),
        users=read_users(roots) if thorough else {},
    )


def _number(roots: Roots, mount: Mount) -> str:
    """Return the device number of a mount; that of its source if the file system has an anonymous one."""
    if not mount.device.startswith("0:") or not mount.source.startswith("/dev/"):
        return mount.device
    return _device_number(roots.dev / mount.source.removeprefix("/dev/")) or mount.device


def _device_number(path: Path) -> str:
    """Return ``<major>:<minor>`` of a device file, through links; empty if it is none."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}" if stat.S_ISBLK(status.st_mode) else ""


def _swaps(roots: Roots) -> list[Path]:
    paths = parse_swaps(read_text(roots.proc / "swaps"))
    return [roots.dev / path.removeprefix("/dev/") for path in paths if path.startswith("/dev/")]


def _btrfs_members(roots: Roots, by_number: dict[str, set[str]]) -> dict[str, tuple[str, ...]]:
    """Return all members of mounted btrfs; the mount table names one of them at most."""
    found: dict[str, tuple[str, ...]] = {}
    for fsuuid in names_in(roots.sys / "fs/btrfs"):
        members = names_in(roots.sys / "fs/btrfs" / fsuuid / "devices")
        numbers = [read_text(roots.block(member) / "dev") for member in members]
        points = tuple(sorted({point for number in numbers for point in by_number.get(number, ())}))
        found.update(dict.fromkeys(members, points or (ELSEWHERE,)))
    return found
