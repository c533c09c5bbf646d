"""Decisions of the node path: from request, drive and mount table to what has to be done. Changes nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from directpv_common.errors import Conflict, FailedPrecondition, InvalidRequest, NotFound, OutOfRange
from directpv_common.messages import VolumeUse
from directpv_common.units import format_bytes
from directpv_nodeagent.core.layout import DELETED_SUFFIX
from directpv_nodeagent.core.mountinfo import MOUNT_FLAGS, Mount, MountTable
from directpv_nodeagent.core.renewal import covered

_GIVEN: Final = frozenset({"defaults", "rw", "async", "suid", "dev", "exec", "prjquota", "pquota", "diratime"})
"""Flags that hold anyway."""
_COMPARED: Final = frozenset({"ro", "nosuid", "nodev", "noexec"})
"""Flags that make a repeated call another call; access times do not."""
_ATIME: Final = ("noatime", "relatime", "strictatime")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a volume's data is: directory ``/<name>`` of the file system on ``device`` (``major:minor``)."""

    name: str
    device: str

    @property
    def root(self) -> str:
        """The directory as the mount table shows it."""
        return f"/{self.name}"

    def is_at(self, mount: Mount | None) -> bool:
        """Tell whether ``mount`` shows exactly the volume's directory."""
        return mount is not None and mount.device == self.device and mount.root == self.root


def mount_flags(flags: Sequence[str], *, read_only: bool = False) -> frozenset[str]:
    """Check mount flags of a storage class, and return those that have to be set.

    Raises:
        InvalidRequest: A flag that one mount of a shared file system cannot have, or two that exclude each other.
    """
    wanted = frozenset(flag for flag in flags if flag not in _GIVEN) | ({"ro"} if read_only else frozenset())
    unknown = sorted(wanted - set(MOUNT_FLAGS))
    if unknown:
        raise InvalidRequest(
            f"mount_flags: {', '.join(unknown)}: a volume is a directory of a shared file system and can only be "
            f"mounted with {', '.join(MOUNT_FLAGS)}",
            field="mount_flags",
        )
    if len(wanted.intersection(_ATIME)) > 1 or ("rw" in flags and "ro" in wanted and not read_only):
        raise InvalidRequest(f"mount_flags: {', '.join(sorted(flags))} exclude each other", field="mount_flags")
    return wanted


def _same_flags(mount: Mount, wanted: frozenset[str], inherited: frozenset[str] = frozenset()) -> bool:
    return mount.flags & _COMPARED == (wanted | inherited) & _COMPARED


def must_stage(
    table: MountTable, place: Place, path: str, flags: frozenset[str], inherited: frozenset[str] = frozenset()
) -> bool:
    """Tell whether the volume must still be mounted at the staging path; ``inherited``: flags of the drive's mount.

    Raises:
        Conflict: It is there, with other flags.
        FailedPrecondition: Something else is mounted there.
    """
    top = table.at(path)
    if top is None:
        return True
    if not place.is_at(top):
        raise _occupied(top, "staging_target_path")
    if not _same_flags(top, flags, inherited):
        raise Conflict(f"{place.name} is staged at {path} with other mount flags ({top.options}); unstage it first")
    return False


def must_publish(
    table: MountTable,
    place: Place,
    staging: str,
    target: str,
    flags: frozenset[str],
    *,
    single_writer: bool,
) -> bool:
    """Tell whether the staged volume must still be mounted at the target path.

    Raises:
        FailedPrecondition: Not staged there, published elsewhere although it has a single writer, or the target is
            occupied.
        Conflict: Published at the target already, but with another access (read-only or flags).
    """
    staged = table.at(staging)
    if staged is None or not place.is_at(staged):
        raise FailedPrecondition(f"{place.name} is not staged at {staging}; call NodeStageVolume first")
    top = table.at(target)
    if place.is_at(top):
        assert top is not None
        if not _same_flags(top, flags, staged.flags & _COMPARED):
            raise Conflict(f"{place.name} is published at {target} with other options ({top.options})")
        return False
    if top is not None:
        raise _occupied(top, "target_path")
    others = [path for path in published(table, place, staging) if path != target]
    if single_writer and others:
        raise FailedPrecondition(
            f"{place.name} has a single writer and is published at {others[0]} already; unpublish it there first"
        )
    return True


def _occupied(mount: Mount, field: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"{field}: {mount.source} ({mount.fs_type}, its {mount.root}) is mounted at {mount.path} already", field=field
    )


def published(table: MountTable, place: Place, staging: str) -> list[str]:
    """Return the paths where the volume is mounted, apart from ``staging``, sorted."""
    return sorted({m.path for m in table.of(place.device) if m.root == place.root} - {staging})


def use_of(table: MountTable, place: Place, staging: str = "") -> VolumeUse:
    """Return where a volume is mounted.

    Args:
        table: The mount table.
        place: The volume.
        staging: Its staging path if that is known. Otherwise kubelet's name for it decides, else that the volume is
            mounted at the staging path first, and the table has the order in which mounts were made.
    """
    paths = list(dict.fromkeys(m.path for m in table.of(place.device) if m.root == place.root))
    if staging not in paths:
        named = [path for path in paths if path.endswith("/globalmount")]
        staging = next(iter(named or paths), "")
    return VolumeUse(staged=staging, published=tuple(sorted(set(paths) - {staging})))


def is_mount_of(mount: Mount, name: str, tmpfs_device: str) -> bool:
    """Tell whether ``mount`` is one that stage or publish made for the volume.

    Its drive may have gone, come back under another number, or have been taken from the records: the directory's
    name on an XFS is what is left to go by. ``tmpfs_device`` is where suspended volumes are published from.
    """
    if cover := covered(mount):
        return cover.parts[0] == name
    root = mount.root.removesuffix("//deleted").removesuffix(DELETED_SUFFIX)
    return (mount.fs_type == "xfs" and root == f"/{name}") or (bool(tmpfs_device) and mount.device == tmpfs_device)


def mounted_at(table: MountTable, place: Place) -> list[str]:
    """Return every path at which the volume, or a part of it, is mounted."""
    return sorted({mount.path for mount in table.showing(place.device, place.root)})


def check_mounted(table: MountTable, place: Place, path: str, tmpfs_device: str = "") -> None:
    """Raise unless the volume (or what stands in for a suspended or a failed one) is mounted at ``path``.

    Raises:
        NotFound: It is not.
    """
    top = table.at(path)
    if place.is_at(top) or (top is not None and tmpfs_device and top.device == tmpfs_device):
        return
    if top is None or not (cover := covered(top)) or cover.parts[0] != place.name:
        raise NotFound(f"volume_path: {place.name} is not mounted at {path}", field="volume_path")


def expanded_capacity(name: str, current: int, required: int, limit: int) -> int:
    """Return the bytes that the volume shall have; never fewer than ``current``.

    Raises:
        InvalidRequest: ``limit`` is below ``required``.
        OutOfRange: The volume is larger than ``limit`` already.
    """
    if limit and limit < required:
        raise InvalidRequest(f"capacity_range: limit_bytes {limit} is below required_bytes {required}", field="limit")
    if limit and current > limit:
        raise OutOfRange(f"{name} has {format_bytes(current)} already, more than limit_bytes {limit}")
    return max(current, required)


def describe_paths(paths: Iterable[str], shown: int = 5) -> str:
    """Return ``paths`` for a message, the first few by name."""
    known = list(paths)
    rest = f" and {len(known) - shown} more" if len(known) > shown else ""
    return f"{', '.join(known[:shown])}{rest}"
