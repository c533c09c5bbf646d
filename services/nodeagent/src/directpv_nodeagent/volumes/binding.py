"""Stage, publish and their opposites on mounts. Every function blocks: call it in an executor.

Each decides from what is mounted at its paths at that moment, so that a repeat finds what was done before. The paths
are asked themselves (:mod:`..linux.glance`); the mount table is read only where they show something unexpected.
"""

import contextlib
import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from directpv_common.protocol.errors import DriveFault, FailedPrecondition, InvalidRequest
from directpv_common.protocol.messages import VolumeRecord, VolumeUse
from directpv_nodeagent.layout import volume_dirs
from directpv_nodeagent.layout.core.layout import TMP_DIR
from directpv_nodeagent.layout.core.places import Place, use_with, use_without
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.linux import glance, mount_points, mounts
from directpv_nodeagent.linux.core.mountinfo import MOUNT_FLAGS, Mount, MountTable
from directpv_nodeagent.linux.glance import Shown
from directpv_nodeagent.volumes.core import decisions

STAGING, TARGET, VOLUME = "staging_target_path", "target_path", "volume_path"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    changed: bool
    """False: a repeat, which found everything done."""
    path: str
    """The path as the mount table shows it."""
    mounted: bool
    """Whether the volume is mounted there now; what stands in for it is not the volume."""
    staging: str = ""
    """Its staging path, where it is mounted as well; empty if that was not looked at."""
    project: int | None = None
    flags: frozenset[str] = frozenset()
    """What it was mounted with."""
    left: tuple[str, ...] = ()
    """Files of others that an unpublished target holds."""

    def use(self, before: VolumeUse) -> VolumeUse:
        """Return where the volume is mounted now, if it was mounted ``before``."""
        return use_with(before, self.path, self.staging) if self.mounted else use_without(before, self.path)


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
            mount_points.ensure_directory(path, STAGING)
            if shows_stand_in(path, stand_in):
                mounts.unmount(path)
        changed = _stage(view, place, directory, path, flags)
    return Outcome(changed, path, mounted=True, staging=path, project=project, flags=flags)


def _stage(view: DriveView, place: Place, directory: int, path: str, flags: frozenset[str]) -> bool:
    """Mount the open ``directory`` of a volume at its staging path, unless it is there; tell whether it was not."""
    table = _uncovered(glance.mounts_at({path: glance.shown_by(directory)}, place.root, view.device), place, path)
    changed = decisions.must_stage(table, place, path, flags, glance.flags_at(view.path))
    if changed:
        with about(STAGING):
            mounts.bind(directory, path, flags)
    return changed


def _uncovered(table: MountTable, place: Place, path: str) -> MountTable:
    """Take away what others mounted on a volume where only kubelet and this agent have to do with it."""
    stack = table.stack(path)
    if not any(map(place.is_at, stack)):
        return table
    foreign = list(itertools.takewhile(lambda mount: not place.is_at(mount), stack))
    for mount in foreign:
        mounts.lift(mount)
    return MountTable(mount for mount in table.mounts if mount not in foreign)


class NeedsTagging(Exception):
    """A volume's content does not count towards its project; setting that takes as long as there are files."""


@dataclass(frozen=True, slots=True)
class Publication:
    """How a volume shall be published."""

    staging: str
    target: str
    flags: frozenset[str]
    single_writer: bool
    others: tuple[str, ...] = ()
    """Where else the volume is published, as far as known."""


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
    place, shown = view.place(name), _shown(view, name)
    if shows_stand_in(target, stand_in):
        return Outcome(False, target, mounted=False)
    paths = [staging, target, *(wanted.others if wanted.single_writer else ())]
    table = _uncovered(glance.mounts_at(dict.fromkeys(paths, shown), place.root, view.device), place, staging)
    changed = decisions.must_publish(table, place, staging, target, wanted.flags, single_writer=wanted.single_writer)
    if changed:
        with about(TARGET):
            mount_points.ensure_directory(target, TARGET)
            with mount_points.directory(staging) as source:
                mounts.bind(source, target, wanted.flags)
        table = glance.mounts_at({target: shown}, place.root, view.device)
        _check_published(table.at(target), place, target, wanted.flags)
    flags = wanted.flags.union(*(mount.flags for mount in table.mounts if mount.path == target))
    return Outcome(changed, target, mounted=True, staging=staging, flags=flags.intersection(MOUNT_FLAGS))


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
    return bool(stand_in) and glance.device_at(path) == stand_in


def was_taken_away(path: str) -> bool:
    """Tell whether nothing is mounted at a staging path, which is there: others unmounted it.

    Kubelet publishes only what it has staged, and does not stage it again.
    """
    return not glance.device_at(path) and os.path.isdir(path)


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
        return Outcome(False, target, mounted=place.is_at(top))
    if top is not None:
        raise FailedPrecondition(f"{field}: {top.source} ({top.fs_type}) is mounted at {target}", field=field)
    if not stand_in:
        raise FailedPrecondition(f"{name} is suspended, and {view.root}/{TMP_DIR} could not be mounted; see the log")
    with about(field):
        mount_points.ensure_directory(target, field)
        with mount_points.directory(f"{view.root}/{TMP_DIR}") as source:
            mounts.bind(source, target, frozenset({"ro"}))
    return Outcome(True, target, mounted=False)


@dataclass(frozen=True, slots=True)
class Leaving:
    """What shall be unmounted where."""

    root: str
    """The agent's directory."""
    name: str
    """The volume."""
    path: str
    field: str
    """What errors call the path."""
    stand_in: str
    """``major:minor`` of what suspended volumes show."""
    view: DriveView | None
    """The volume's drive; None if nobody knows the volume."""
    remove: bool
    """Whether to remove the directory."""


def take_away(leaving: Leaving) -> Outcome:
    """Unmount a volume from a path, and remove the empty directory if told to.

    A directory with files that were written while nothing was mounted there stays: they are somebody's.

    Raises:
        InvalidRequest: The path is not one where a volume may be mounted.
        FailedPrecondition: Something else is mounted there, or it is no directory.
    """
    name, field, view = leaving.name, leaving.field, leaving.view
    path = safe_path(leaving.root, leaving.path, field)
    with about(field):
        was_mounted = False
        if view is not None and not glance.is_bare(path) and glance.shows(path, _shown(view, name)):
            mounts.unmount(path)
            was_mounted = True
        if not glance.is_bare(path):
            more = mounts.unmount_all(path, lambda mount: decisions.is_mount_of(mount, name, leaving.stand_in), field)
            was_mounted = was_mounted or more
        left = mount_points.remove_directory(path, field) if leaving.remove else ()
    return Outcome(was_mounted, path, mounted=False, left=left)


def check_mounted(view: DriveView, name: str, path: str, stand_in: str) -> None:
    """Raise unless the volume is mounted at ``path``.

    Raises:
        InvalidRequest: The path is not one where a volume may be mounted.
        NotFound: It is not.
    """
    path, place = safe_path(view.root, path, VOLUME), view.place(name)
    shown = None if glance.is_bare(path) else _shown(view, name)
    table = glance.mounts_at({path: shown}, place.root, view.device)
    decisions.check_mounted(table, place, path, stand_in)


def _shown(view: DriveView, name: str) -> Shown | None:
    """Return what the volume's directory is; None if that cannot be told.

    Where it is mounted, the kernel has its name at hand: a disk that hangs is not asked. Elsewhere it may be, so look
    first whether anything is mounted.
    """
    with contextlib.suppress(OSError):
        found = glance.shown_at(f"{view.path}/{name}")
        return found if found.device == view.device else None
    return None


def safe_path(root: str, path: str, field: str) -> str:
    """Return ``path`` in canonical form.

    Raises:
        InvalidRequest: It is no absolute path, or inside of the agent's own directory, where drives are mounted.
    """
    clean = mount_points.canonical(path, field)
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
        except OSError as error:
            os.fstat(drive.root)  # raises if it is the drive that failed
            raise DriveFault(
                f"the directory of {name} cannot be read: {error.strerror}; once nothing uses the drive, run: "
                f"kubectl directpv repair {view.fsuuid}"
            ) from error
        yield directory


@contextlib.contextmanager
def about(field: str) -> Iterator[None]:
    """Turn failures of the path that ``field`` names into errors that say so: they are not the drive's."""
    try:
        yield
    except OSError as error:
        where = f" {error.filename}:" if error.filename else ""
        raise FailedPrecondition(f"{field}:{where} {error.strerror or error}", field=field) from error
