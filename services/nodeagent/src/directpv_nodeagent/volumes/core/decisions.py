"""Decisions of the node path: from request, drive and mount table to what has to be done. Changes nothing."""

from collections.abc import Sequence
from typing import Final

from directpv_common.protocol.errors import Conflict, FailedPrecondition, InvalidRequest, NotFound, OutOfRange
from directpv_common.protocol.mount_options import POSSIBLE, flags_of, is_known
from directpv_common.protocol.units import format_bytes
from directpv_nodeagent.drives.core.renewal import covered
from directpv_nodeagent.layout.core.layout import DELETED_SUFFIX
from directpv_nodeagent.layout.core.places import Place, published
from directpv_nodeagent.linux.core.mountinfo import Mount, MountTable

_COMPARED: Final = frozenset({"ro", "nosuid", "nodev", "noexec"})
"""Flags that make a repeated call another call; access times do not."""


def mount_flags(flags: Sequence[str], *, read_only: bool = False) -> frozenset[str]:
    """Check mount options of a storage class, and return the flags that have to be set; the last of a kind holds.

    Raises:
        InvalidRequest: An option that one mount of a shared file system cannot have.
    """
    unknown = sorted(flag for flag in flags if not is_known(flag))
    if unknown:
        raise InvalidRequest(
            f"mount_flags: {', '.join(unknown)}: a volume is a directory of a shared file system and can only be "
            f"mounted with {', '.join(POSSIBLE)}",
            field="mount_flags",
        )
    return frozenset(flags_of(flags)) | ({"ro"} if read_only else frozenset())


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
    # What a pod has mounted on its own volume is the pod's affair.
    top = next(filter(place.is_at, table.stack(target)), table.at(target))
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


def is_mount_of(mount: Mount, name: str, tmpfs_device: str) -> bool:
    """Tell whether ``mount`` is one that stage or publish made for the volume.

    Its drive may have gone, come back under another number, or have been taken from the records: the directory's
    name on an XFS is what is left to go by. ``tmpfs_device`` is where suspended volumes are published from.
    """
    if cover := covered(mount):
        return cover.parts[0] == name
    root = mount.root.removesuffix("//deleted").removesuffix(DELETED_SUFFIX)
    return (mount.fs_type == "xfs" and root == f"/{name}") or (bool(tmpfs_device) and mount.device == tmpfs_device)


def is_mounted(table: MountTable, name: str) -> bool:
    """Tell whether a volume whose drive is not here is mounted, in part, dead or covered, as far as names tell."""
    return any(
        cover.parts[0] == name if (cover := covered(mount)) else mount.fs_type == "xfs" and mount.shows(f"/{name}")
        for mount in table.mounts
    )


def is_cover_of(mount: Mount | None, name: str) -> bool:
    """Tell whether ``mount`` stands for the volume until its drive, which has failed, is back."""
    return mount is not None and (cover := covered(mount)) is not None and cover.parts[0] == name


def check_mounted(table: MountTable, place: Place, path: str, tmpfs_device: str = "") -> None:
    """Raise unless the volume (or what stands in for a suspended or a failed one) is mounted at ``path``.

    Raises:
        NotFound: It is not.
    """
    top = table.at(path)
    if place.is_at(top) or (top is not None and tmpfs_device and top.device == tmpfs_device):
        return
    if not is_cover_of(top, place.name):
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
