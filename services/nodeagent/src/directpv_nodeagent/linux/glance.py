"""What is mounted at one path, asked of the path itself: what it costs does not depend on how many mounts there are.

The kernel tells since 5.8 whether a mount begins at a path (statx(2), ``STATX_ATTR_MOUNT_ROOT``). Device and inode tell
which directory is shown. Whatever this cannot answer (another directory, a failed file system, an older kernel) is
looked for in the mount table. Blocks: call it in an executor.
"""

import os
from collections.abc import Mapping
from typing import Final, NamedTuple

from directpv_nodeagent.linux import mounts, syscalls
from directpv_nodeagent.linux.core.mountinfo import Mount, MountTable

_SHOWN: Final = {
    os.ST_NOSUID: "nosuid",
    os.ST_NODEV: "nodev",
    os.ST_NOEXEC: "noexec",
    os.ST_NOATIME: "noatime",
    os.ST_NODIRATIME: "nodiratime",
    os.ST_RELATIME: "relatime",
}


class Shown(NamedTuple):
    """A directory of a file system, as a path that shows it tells."""

    device: str
    """``major:minor``."""
    inode: int


def shown_at(path: str) -> Shown:
    """Return what directory ``path`` is.

    Raises:
        OSError: What the kernel said; ENOSYS before Linux 5.8.
    """
    found = syscalls.statx(path)
    return Shown(found.device, found.inode)


def shown_by(descriptor: int) -> Shown:
    """Return what directory is open as ``descriptor``."""
    found = os.fstat(descriptor)
    return Shown(f"{os.major(found.st_dev)}:{os.minor(found.st_dev)}", found.st_ino)


def flags_at(path: str) -> frozenset[str]:
    """Return the flags of the mount that ``path`` lies on, as the mount table names them; ``ro`` if nothing can write.

    Raises:
        OSError: What the kernel said.
    """
    flags = os.statvfs(path).f_flag
    write = "ro" if flags & os.ST_RDONLY else "rw"
    return frozenset({write, *(name for bit, name in _SHOWN.items() if flags & bit)})


def is_bare(path: str) -> bool:
    """Tell whether certainly nothing is mounted at ``path``."""
    try:
        return not syscalls.statx(path).is_mount_root
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def device_at(path: str) -> str:
    """Return ``major:minor`` of what is mounted at ``path``; empty if nothing is."""
    try:
        found = syscalls.statx(path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError:
        top = mounts.own_mounts(path).at(path)
        return top.device if top is not None else ""
    return found.device if found.is_mount_root else ""


def shows(path: str, wanted: Shown | None) -> bool:
    """Tell whether certainly the directory ``wanted``, and nothing on top of it, is mounted at ``path``."""
    if wanted is None:
        return False
    try:
        found = syscalls.statx(path)
    except OSError:
        return False
    return found.is_mount_root and (found.device, found.inode) == wanted


def mounts_at(paths: Mapping[str, Shown | None], root: str, *about: str) -> MountTable:
    """Return what is mounted at ``paths``, topmost mounts only; the mount table's lines if a glance does not tell.

    Args:
        paths: Canonical paths, each with the directory that may be mounted there; None if nobody knows.
        root: How the mount table shows that directory.
        about: What else is looked for if the table is read: devices (``major:minor``) and paths.
    """
    found: list[Mount] = []
    for path, wanted in paths.items():
        if is_bare(path):
            continue
        if wanted is None or not shows(path, wanted):
            return mounts.own_mounts(*paths, *about)
        options = ",".join(sorted(flags_at(path)))
        found.append(Mount(len(found) + 1, 0, wanted.device, root, path, options, "xfs", "", ""))
    return MountTable(found)
