"""How full a volume is: from its quota, or counted file by file where quota is not in force. Blocks."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Final

from directpv_common.protocol.errors import DirectPVError
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.layout.drive_dir import DriveDir
from directpv_nodeagent.layout.volume_dirs import drive_of, vanished
from directpv_nodeagent.linux import quota
from directpv_nodeagent.linux.core.quota import Usage

_WALK_BLOCK: Final = 512
"""Bytes; the unit of st_blocks."""


@dataclass(frozen=True, slots=True)
class Measured:
    """How full a volume is, in bytes and inodes."""

    total: int
    """Bytes that it can hold: its size, or less if its class asks for many inodes."""
    used: int
    available: int
    inodes_used: int
    inodes_free: int
    exact: bool = True
    """False: counting took too long and was broken off; ``used`` is a lower bound."""


@dataclass(frozen=True, slots=True)
class Room:
    """How full a drive's file system is, whoever uses it."""

    used: int
    """Bytes."""
    available: int
    inodes: int
    """Files and directories that there can be, as XFS counts at this moment."""
    inodes_free: int


def measure(view: DriveView, name: str, capacity: int, seconds: float) -> Measured:
    """Count what a volume uses: from its quota, or file by file where quota is not in force.

    Args:
        view: The drive.
        name: The volume.
        capacity: Its size in bytes.
        seconds: How long counting files may take.

    Raises:
        DriveFault: The volume's directory is gone.
    """
    with drive_of(view) as drive:
        return _measured(view, drive, name, capacity, seconds)


def measure_all(view: DriveView, sizes: Mapping[str, int], seconds: float) -> tuple[Room | None, dict[str, Measured]]:
    """Ask a drive, and measure many of its volumes; whether it is the drive is looked at once for all of them.

    Args:
        view: The drive.
        sizes: The volumes, each with its size in bytes.
        seconds: How long counting the files of one may take.

    Returns:
        How full the drive is, None if it does not tell; what was measured, without volumes that could not be.
    """
    room, measured = None, {}
    with contextlib.suppress(DirectPVError, OSError), drive_of(view) as drive:
        room = _room(drive)
        for name, capacity in sizes.items():
            with contextlib.suppress(DirectPVError, OSError):
                measured[name] = _measured(view, drive, name, capacity, seconds)
    return room, measured


def _room(drive: DriveDir) -> Room:
    state = os.fstatvfs(drive.root)
    return Room(
        used=(state.f_blocks - state.f_bfree) * state.f_frsize,
        available=state.f_bavail * state.f_frsize,
        inodes=state.f_files,
        inodes_free=state.f_favail,
    )


def _measured(view: DriveView, drive: DriveDir, name: str, capacity: int, seconds: float) -> Measured:
    try:
        with drive.volume(name) as volume:
            state = os.fstatvfs(drive.root)
            use, exact = use_of(view, volume, seconds)
    except FileNotFoundError:
        raise vanished(drive, name) from None
    free = state.f_bavail * state.f_frsize
    total = use.limit or capacity
    return Measured(
        total=total,
        used=use.used,
        available=max(0, min(total - use.used, free)),
        inodes_used=use.inodes,
        inodes_free=max(0, min(use.inode_limit - use.inodes, state.f_favail)) if use.inode_limit else state.f_favail,
        exact=exact,
    )


def use_of(view: DriveView, volume: int, seconds: float) -> tuple[Usage, bool]:
    """Return use and limit of an open directory of a volume, and whether all was counted within ``seconds``."""
    if not view.enforced:
        used, inodes, exact = count(volume, seconds)
        return Usage(0, used, inodes), exact
    return quota.usage(volume, view.device_path, quota.attributes(volume).project), True


def count(directory: int, seconds: float) -> tuple[int, int, bool]:
    """Return bytes and inodes below ``directory``, and whether all were counted within ``seconds``."""
    end = monotonic() + seconds
    used, inodes = os.fstat(directory).st_blocks * _WALK_BLOCK, 1
    try:
        for _, folders, names, parent in os.fwalk(".", dir_fd=directory):
            for name in (*folders, *names):
                with contextlib.suppress(FileNotFoundError):
                    used += os.stat(name, dir_fd=parent, follow_symlinks=False).st_blocks * _WALK_BLOCK
                    inodes += 1
                if monotonic() >= end:
                    return used, inodes, False
    except RecursionError:
        return used, inodes, False
    return used, inodes, True
