"""Stage, publish and their opposites on the mount table. Every function blocks: call it in an executor.

Each decides from the mount table alone, as it is at that moment, so that a repeat finds what was done before.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from directpv_common.errors import DriveFault, FailedPrecondition, InvalidRequest
from directpv_common.messages import VolumeRecord, VolumeUse
from directpv_nodeagent.layout import volume_dirs
from directpv_nodeagent.layout.core.held import DriveView
from directpv_nodeagent.layout.core.layout import TMP_DIR
from directpv_nodeagent.layout.core.places import Place, use_of
from directpv_nodeagent.linux import mounts
from directpv_nodeagent.linux.core.mountinfo import Mount, MountTable
from directpv_nodeagent.volumes.core import decisions

STAGING, TARGET, VOLUME = "staging_target_path", "target_path", "volume_path"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    changed: bool
    """False: a repeat, which found everything done."""
    path: str
    """The path as the mount table shows it."""
    use: VolumeUse
    project: int | None = None


def stage(
    view: DriveView,
    record: VolumeRecord,
    path: str,
    flags: frozenset[str],
    known: Mapping[str, int],
    *,
    stand_in: str = "",
    whole_tree: bool = False,
) -> Outcome:
    """Mount a volume at its staging path.

    Args:
        view: The drive.
        record: The volume.
        path: The staging path.
        flags: Mount flags.
        known: Project ids in use on the drive.
        stand_in: ``major:minor`` of what suspended volumes show; it makes way.
        whole_tree: Whether a volume with content but without project id is given one, file by file, before.

    Raises:
        NeedsTagging: It has content but no project id, and ``whole_tree`` is not set; nothing was done.
        InvalidRequest: The path is not one where a volume may be mounted.
        Conflict: It is mounted there with other flags.
        FailedPrecondition: Something else is mounted there, or the path's parent is missing.
        DriveFault: The volume's directory is gone, or the drive is not mounted.
    """
    path = safe_path(view.root, path, STAGING)
    place = view.place(record.name)
    with _volume(view, record.name) as directory:
        if (
            not whole_tree
            and not volume_dirs.is_secured(directory, record.name, known)
            and not volume_dirs.is_empty(directory)
        ):
            raise NeedsTagging
        project = volume_dirs.secure(view, directory, record, known, whole_tree=whole_tree)
        with about(STAGING):
            mounts.ensure_directory(path, STAGING)
            if shows_stand_in(path, stand_in):
                mounts.unmount(path)
        table = mounts.own_mounts(view.device, path)
        drive = table.at(view.path)
        inherited = drive.flags if drive is not None else frozenset()
        changed = decisions.must_stage(table, place, path, flags, inherited)
        if changed:
            with about(STAGING):
                mounts.bind(directory, path, flags)
            table = mounts.own_mounts(view.device, path)
    return Outcome(changed, path, use_of(table, place, path), project)


class NeedsTagging(Exception):
    """A volume's content does not count towards its project; setting that takes as long as there are files."""


@dataclass(frozen=True, slots=True)
class Publication:
    """How a volume shall be published."""

    staging: str
    target: str
    flags: frozenset[str]
    single_writer: bool


def publish(view: DriveView, name: str, wanted: Publication, stand_in: str) -> Outcome:
    """Mount a staged volume at a target path; a read-only one refuses writes from the first moment.

    Args:
        view: The drive.
        name: The volume.
        wanted: Where and how.
        stand_in: ``major:minor`` of what suspended volumes show. A target that shows it was published while the
            volume was suspended, and stays as it is until its pod is restarted.

    Raises:
        InvalidRequest: A path is not one where a volume may be mounted.
        Conflict: It is published there with another access.
        FailedPrecondition: It is not staged, has a single writer elsewhere, or the target is occupied.
    """
    staging = safe_path(view.root, wanted.staging, STAGING)
    target = safe_path(view.root, wanted.target, TARGET)
    place = view.place(name)
    table = mounts.own_mounts(view.device, staging, target)
    top = table.at(target)
    if top is not None and stand_in and top.device == stand_in:
        return Outcome(False, target, use_of(table, place, staging))
    changed = decisions.must_publish(table, place, staging, target, wanted.flags, single_writer=wanted.single_writer)
    if changed:
        with about(TARGET):
            mounts.ensure_directory(target, TARGET)
            with mounts.directory(staging) as source:
                mounts.bind(source, target, wanted.flags)
        table = mounts.own_mounts(view.device, staging, target)
        _check_published(table.at(target), place, target, wanted.flags)
    return Outcome(changed, target, use_of(table, place, staging))


def _check_published(top: Mount | None, place: Place, target: str, flags: frozenset[str]) -> None:
    """Look whether the kernel did what it was asked; if not, take the mount away."""
    right = top is not None and place.is_at(top) and flags - {"relatime", "strictatime"} <= top.flags
    writable = not os.statvfs(target).f_flag & os.ST_RDONLY
    if right and not ("ro" in flags and writable):
        return
    mounts.unmount(target)
    raise DriveFault(f"{place.name} could not be mounted at {target} with {', '.join(sorted(flags)) or 'no flags'}")


def shows_stand_in(path: str, stand_in: str) -> bool:
    """Tell whether what stands in for suspended volumes is mounted at ``path``.

    At a staging path it says that a volume was staged while it was suspended. Kubelet does not stage it again for a
    pod that starts before its predecessor's volumes are all gone: then the next publish does.
    """
    top = mounts.own_mounts(path).at(path)
    return bool(stand_in) and top is not None and top.device == stand_in


def show_stand_in(view: DriveView, name: str, target: str, stand_in: str, field: str = TARGET) -> Outcome:
    """Mount an empty read-only directory at a path of a suspended volume; what is mounted there stays.

    Raises:
        FailedPrecondition: The path is occupied, or there is no stand-in.
    """
    target = safe_path(view.root, target, field)
    place = view.place(name)
    table = mounts.own_mounts(view.device, target)
    top = table.at(target)
    if place.is_at(top) or (top is not None and top.device == stand_in) or decisions.is_cover_of(top, name):
        return Outcome(False, target, use_of(table, place))
    if top is not None:
        raise FailedPrecondition(f"{field}: {top.source} ({top.fs_type}) is mounted at {target}", field=field)
    if not stand_in:
        raise FailedPrecondition(f"{name} is suspended, and {view.root}/{TMP_DIR} could not be mounted; see the log")
    with about(field):
        mounts.ensure_directory(target, field)
        with mounts.directory(f"{view.root}/{TMP_DIR}") as source:
            mounts.bind(source, target, frozenset({"ro"}))
    return Outcome(True, target, use_of(table, place))


def take_away(
    root: str, name: str, path: str, field: str, stand_in: str, device: str, *, remove: bool
) -> tuple[bool, str, MountTable]:
    """Unmount a volume from ``path``, and remove the empty directory if told to.

    Args:
        root: The agent's directory.
        name: The volume.
        path: Where it is mounted.
        field: What errors call the path.
        stand_in: ``major:minor`` of what suspended volumes show.
        device: That of the volume's drive; empty if nobody knows the volume.
        remove: Whether to remove the directory.

    Returns:
        Whether the volume was mounted there, the path as the mount table showed it, and what the table has about the
        path and the device afterwards.

    Raises:
        InvalidRequest: The path is not one where a volume may be mounted.
        FailedPrecondition: Something else is mounted there, or the directory is not empty.
    """
    path = safe_path(root, path, field)
    with about(field):
        was_mounted, table = mounts.unmount_all(
            path, lambda mount: decisions.is_mount_of(mount, name, stand_in), field, *filter(None, (device,))
        )
        if remove:
            mounts.remove_directory(path, field)
    return was_mounted, path, table


def check_mounted(view: DriveView, name: str, path: str, stand_in: str) -> None:
    """Raise unless the volume is mounted at ``path``.

    Raises:
        InvalidRequest: The path is not one where a volume may be mounted.
        NotFound: It is not.
    """
    path = safe_path(view.root, path, VOLUME)
    decisions.check_mounted(mounts.own_mounts(view.device, path), view.place(name), path, stand_in)


def safe_path(root: str, path: str, field: str) -> str:
    """Return ``path`` in canonical form.

    Raises:
        InvalidRequest: It is no absolute path, or inside of the agent's own directory, where drives are mounted.
    """
    clean = mounts.canonical(path, field)
    own = os.path.realpath(root)
    if clean == own or clean.startswith(f"{own}/"):
        raise InvalidRequest(f"{field}: {path} is inside of {root}, where drives are mounted", field=field)
    return clean


@contextlib.contextmanager
def _volume(view: DriveView, name: str) -> Iterator[int]:
    """Open the directory of a volume on its mounted drive."""
    with volume_dirs.drive_of(view) as drive, contextlib.ExitStack() as stack:
        try:
            directory = stack.enter_context(drive.volume(name))
        except FileNotFoundError:
            raise volume_dirs.vanished(drive, name) from None
        yield directory


@contextlib.contextmanager
def about(field: str) -> Iterator[None]:
    """Turn failures of the path that ``field`` names into errors that say so: they are not the drive's."""
    try:
        yield
    except OSError as error:
        where = f" {error.filename}:" if error.filename else ""
        raise FailedPrecondition(f"{field}:{where} {error.strerror or error}", field=field) from error
