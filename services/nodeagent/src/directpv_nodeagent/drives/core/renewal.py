"""Mounts of a drive's failed file system, which shall show the drive again when it is back. Decides, and does nothing.

A disk that was pulled or failed leaves its file system mounted in every place where volumes of it are used: dead, each
access gets EIO. When the disk is back, those places are given the new mount, so that a container that restarts (or
sees what is mounted on the host) works again without its pod being deleted.

Sometimes the dead file system must go from everywhere before the disk can be mounted again: when the same block device
came back to life. Meanwhile such a place is *covered* by an empty read-only tmpfs, whose source names what belongs
there: a container that starts just then finds nothing, and cannot write to the disk of the host.

Two drives may have volumes of one name (a copy that was restored, a second agent on the node). So a dead mount is a
drive's only if its device number was that drive's, and a cover says whose it is.
"""

from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from directpv_nodeagent.linux.core.mountinfo import MOUNT_FLAGS, Mount, MountTable

COVER: Final = "directpv-cover"
"""Begins the source of a cover: ``directpv-cover:<fsuuid>:<flag>+<flag>:/<volume>/<directory or file>``."""


class Stale(NamedTuple):
    """A place where a volume, or a directory or file of it, shall be mounted anew."""

    path: str
    root: str
    """What it shows of its file system: ``/<volume>`` or ``/<volume>/<directory or file>``."""
    flags: frozenset[str]
    drive: str = ""
    """FSUUID; empty if only the device number tells."""

    @property
    def parts(self) -> list[str]:
        """The volume, and the names below it that lead to what is shown."""
        return self.root.strip("/").split("/")


def stale_mounts(
    table: MountTable,
    fsuuid: str,
    volumes: Collection[str],
    numbers: Collection[str],
    is_dead: Callable[[Mount], bool],
) -> list[Stale]:
    """Return the places that show volumes of a drive on its dead file system, or their covers, in the table's order.

    What others mounted on such a place does not count: it lies on nothing any more.

    Args:
        table: The mount table.
        fsuuid: The drive.
        volumes: Names of its volumes.
        numbers: ``major:minor`` of each device that carried the drive since the node booted.
        is_dead: Tells whether what a mount shows cannot be read any more; asked only where it matters.
    """
    found = {}
    for mount in table.mounts:
        cover = covered(mount)
        stale = cover or (_stale(mount) if mount.fs_type == "xfs" and mount.device in numbers else None)
        if stale is None or stale.parts[0] not in volumes or stale.drive not in ("", fsuuid):
            continue
        if our_mount(table, mount.path, numbers)[1] == mount and (cover or is_dead(mount)):
            found[mount.path] = stale
    return list(found.values())


def our_mount(table: MountTable, path: str, numbers: Collection[str]) -> tuple[list[Mount], Mount | None]:
    """Return what others mounted on a place of ours, topmost first, and the mount or cover of ours below it.

    Args:
        table: The mount table.
        path: The place.
        numbers: ``major:minor`` of each device that carried the drive.
    """
    foreign: list[Mount] = []
    for mount in table.stack(path):
        if mount.device in numbers or covered(mount):
            return foreign, mount
        foreign.append(mount)
    return [], None


def mounts_to_release(table: MountTable, device: str, place: str) -> list[Stale]:
    """Return the mounts of the file system on ``device``, apart from the drive's own ``place``."""
    return [_stale(mount) for mount in table.of(device) if mount.path != place]


def _stale(mount: Mount) -> Stale:
    root = mount.root.removesuffix("//deleted")
    return Stale(mount.path, root, frozenset(mount.flags.intersection(MOUNT_FLAGS)))


def cover_source(stale: Stale, fsuuid: str) -> str:
    """Return the source of the cover for a place that shows a volume of a drive."""
    return f"{COVER}:{fsuuid}:{'+'.join(sorted(stale.flags))}:{stale.root}"


def covered(mount: Mount) -> Stale | None:
    """Return what a cover stands for; None if the mount is none. Those of former versions do not name the drive."""
    if mount.fs_type != "tmpfs" or not mount.source.startswith(f"{COVER}:"):
        return None
    said, _, root = mount.source.partition(":/")
    _, *drive, flags = said.split(":")
    return Stale(mount.path, f"/{root}", frozenset(filter(None, flags.split("+"))), "".join(drive))
