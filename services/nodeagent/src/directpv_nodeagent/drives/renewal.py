"""Gives places that show a failed file system the drive's new mount; see :mod:`..core.renewal`. Blocks."""

import contextlib
import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from directpv_nodeagent.drives import xfs
from directpv_nodeagent.drives.core import renewal
from directpv_nodeagent.drives.core.renewal import Stale
from directpv_nodeagent.layout.drive_dir import DriveDir
from directpv_nodeagent.linux import files, mounts, syscalls
from directpv_nodeagent.linux.core.mountinfo import Mount

log = logging.getLogger(__name__)


def renew(drive: DriveDir) -> int:
    """Mount the volumes of a drive that is well in all places that show them dead or covered; return how many.

    A place that fails is logged and left as it is: the next take-over tries again.
    """
    done = 0
    for stale in renewal.stale_mounts(mounts.own_mounts(), drive.volume_names(), _is_dead):
        try:
            with _shown(drive, stale) as directory:
                _swap(directory, stale)
            done += 1
        except OSError as error:
            log.warning("mount not renewed", extra={"path": stale.path, "error": str(error)})
        else:
            log.info("mount renewed", extra={"path": stale.path, "volume": stale.parts[0], "drive": drive.fsuuid})
    return done


def _is_dead(mount: Mount) -> bool:
    with contextlib.suppress(OSError):
        return not xfs.is_alive(mount.path, mount.device)
    return False


@contextlib.contextmanager
def _shown(drive: DriveDir, stale: Stale) -> Iterator[int]:
    """Open what a place shall show; what is below the volume belongs to its user, so no link is followed."""
    with contextlib.ExitStack() as stack:
        volume, *below = stale.parts
        directory = stack.enter_context(drive.volume(volume))
        for name in below:
            if name in ("", ".", ".."):
                raise OSError(errno.EINVAL, "not a plain path", stale.root)
            directory = stack.enter_context(files.opened(name, directory))
        yield directory


def _swap(directory: int, stale: Stale) -> None:
    """Take the dead mount away and mount ``directory`` in its place, one right after the other.

    A place that cannot get it is covered: left bare, it would let a container write to the disk of the host.
    """
    syscalls.umount(stale.path, syscalls.MNT_DETACH)
    try:
        mounts.bind(directory, stale.path, stale.flags)
    except OSError:
        _cover(stale)
        raise


def _cover(stale: Stale) -> None:
    flags = syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    syscalls.mount(renewal.cover_source(stale), stale.path, "tmpfs", flags, "size=4k,mode=0755")


def release(device: str, place: str) -> None:
    """Let go of the failed file system on ``device`` wherever this namespace shows it; places of volumes are covered.

    Args:
        device: ``major:minor``.
        place: Where the drive itself is mounted.
    """
    table = mounts.own_mounts()
    for stale in renewal.mounts_to_release(table, device, place):
        log.warning("dead mount covered", extra={"path": stale.path, "shows": stale.root})
        syscalls.umount(stale.path, syscalls.MNT_DETACH)
        _cover(stale)


def foreign_holders(device: str) -> list[str]:
    """Return the processes of other mount namespaces that have the file system on ``device`` mounted, as pid and name.

    One process per namespace; what this process may not see is left out.
    """
    own, seen, found = os.stat("/proc/self/ns/mnt").st_ino, set(), []
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        with contextlib.suppress(OSError):
            namespace = os.stat(process / "ns/mnt").st_ino
            if namespace == own or namespace in seen:
                continue
            seen.add(namespace)
            if f" {device} " in (process / "mountinfo").read_text(errors="surrogateescape"):
                found.append(f"{process.name} ({(process / 'comm').read_text().strip()})")
    return found
