"""Reads all that is on a mounted drive, and puts right what a crash, or upstream, left undone. Blocks."""

import contextlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from directpv_common.process.clock import now_rfc3339
from directpv_common.protocol.errors import DriveFault
from directpv_common.protocol.messages import (
    INCARNATION_PATTERN,
    DriveRecord,
    HeldCopy,
    VolumeRecord,
    VolumeUse,
)
from directpv_common.protocol.names import project_id
from directpv_nodeagent.layout import copies, marks, volume_dirs
from directpv_nodeagent.layout.ballast import FULL
from directpv_nodeagent.layout.core.layout import DELETED_SUFFIX, INCOMING_DIR, META_DIR, Mark
from directpv_nodeagent.layout.core.places import flags_of_kubelets, use_of
from directpv_nodeagent.layout.core.view import Contents, DriveView
from directpv_nodeagent.layout.drive_dir import SHORTAGES, DriveDir
from directpv_nodeagent.linux import files, quota
from directpv_nodeagent.linux.core.mountinfo import Mount, MountTable

log = logging.getLogger(__name__)


def read_contents(
    view: DriveView, drive: DriveDir, record: DriveRecord, table: MountTable, staging: Mapping[str, str]
) -> Contents:
    """Return what is on the drive; project ids and limits of its volumes hold on return.

    - A record whose directory was renamed by us already: the removal was cut short; it is ended here.
    - Remains that nobody marked were renamed by somebody else: they are left alone, and so is their record.
    - A directory with a limit but without record: upstream made it; it gets one.
    - A copy of a move that was put in its place and has no record yet: it is a copy again.
    - Other directories without record may be anybody's: they are left alone, and can be staged by whoever knows them.
    - What a full file system does not take is known all the same, and written when there is room.
    - A directory that cannot be read costs its volume, and no other.

    Raises:
        OSError: The drive cannot be read or written.
    """
    directories = set(drive.volume_names())
    remains = _retired(view, drive)
    volumes = drive.read_volumes()
    for name in [name for name in volumes if name not in directories and name in remains]:
        log.info("interrupted removal ended", extra={"drive": view.fsuuid, "volume": name})
        with _unless_full(view, "record not removed", name):
            drive.remove_record(name)
        del volumes[name]
    projects = _projects(drive, directories, remains)
    _take_back_copies(drive, directories, directories - volumes.keys(), table.of(view.device))
    for name in sorted(directories - volumes.keys()):
        with alone(drive, name):
            made = _recognise(view, drive, name)
            if made is not None:
                volumes[name] = made
    for name, volume in volumes.items():
        if name in directories:
            with (
                alone(drive, name),
                drive.volume(name) as directory,
                _unless_full(view, "project and limit not set", name),
            ):
                marks.keep(directory)
                copies.settle(directory)
                projects[name] = volume_dirs.secure(view, directory, volume, projects)
    _mark_held(drive, volumes)
    return Contents(
        view=view,
        record=record,
        volumes=volumes,
        projects=projects,
        uses=uses_in(table, view, volumes, staging),
        flags=flags_of_kubelets(mount for mount in table.of(view.device) if mount.root.lstrip("/") in volumes),
        copies=_copies(view, drive),
        strays=marks.read(drive, Mark.STRAY),
        sealed=marks.read(drive, Mark.SEALED),
        purging={name: _limit(view, drive, projects.get(f"{name}{DELETED_SUFFIX}", 0)) for name in remains},
    )


def _retired(view: DriveView, drive: DriveDir) -> set[str]:
    """Return the volumes whose remains may be destroyed."""
    retired: set[str] = set()
    for name in drive.deleted_names():
        with alone(drive, f"{name}{DELETED_SUFFIX}"), files.opened(f"{name}{DELETED_SUFFIX}", drive.root) as directory:
            if marks.is_retired(directory):
                retired.add(name)
                continue
            kept = f"{view.path}/{name}{DELETED_SUFFIX}"
            log.warning("remains that DirectPV did not make are kept", extra={"drive": view.fsuuid, "path": kept})
    return retired


def _take_back_copies(drive: DriveDir, directories: set[str], bare: set[str], shown: Iterable[Mount]) -> None:
    """Make copies of directories without record that are some, unless mounted; they leave ``directories``."""
    mounted = {mount.root.lstrip("/") for mount in shown}
    for name in sorted(bare - mounted):
        with alone(drive, name):
            if copies.take_back(drive, name) is not None:
                directories.discard(name)
                log.info("copy without record is a copy again", extra={"drive": drive.fsuuid, "volume": name})


def _copies(view: DriveView, drive: DriveDir) -> dict[str, HeldCopy]:
    """Return what moves have copied here, whether one goes on or not."""
    found: dict[str, HeldCopy] = {}
    with alone(drive, f"{META_DIR}/{INCOMING_DIR}"):
        for name in copies.names(drive):
            with alone(drive, f"{META_DIR}/{INCOMING_DIR}/{name}"):
                copy = copies.read(drive, name)
                if copy is not None:
                    found[name] = replace(copy, size=copies.size(view, drive, name)) if copy.move else copy
    return found


def _mark_held(drive: DriveDir, volumes: Mapping[str, VolumeRecord]) -> None:
    """Mark the volumes of drives that earlier versions, or upstream, filled; these leave marks as they are, too."""
    with alone(drive, f"{META_DIR}/{Mark.HELD.value}"):
        held = marks.read(drive, Mark.HELD)
        found = {name: volume.incarnation or held.get(name, "") for name, volume in volumes.items()}
        marks.put_all(drive, Mark.HELD, {name: word for name, word in found.items() if held.get(name) != word})


def uses_in(
    table: MountTable, view: DriveView, names: Mapping[str, VolumeRecord], staging: Mapping[str, str]
) -> dict[str, VolumeUse]:
    """Return where volumes of a drive are mounted; those that are not are left out."""
    mounted = {mount.root.lstrip("/") for mount in table.of(view.device)} & names.keys()
    return {name: use_of(table, view.place(name), staging.get(name, "")) for name in mounted}


def _projects(drive: DriveDir, directories: set[str], remains: set[str]) -> dict[str, int]:
    """Return the project ids that directories have, where they have one."""
    found: dict[str, int] = {}
    for name in [*directories, *(f"{name}{DELETED_SUFFIX}" for name in remains)]:
        project = project_id(name.removesuffix(DELETED_SUFFIX))  # what it most probably has, if it cannot be read
        with alone(drive, name), files.opened(name, drive.root) as directory:
            project = quota.attributes(directory).project
        if project:
            found[name] = project
    return found


@contextlib.contextmanager
def alone(drive: DriveDir, name: str) -> Iterator[None]:
    """Let what cannot be read under ``name`` be no fault of the drive, unless the drive has failed.

    Not for what decides which volumes are served: that a copy is one must be known.
    """
    try:
        yield
    except (OSError, DriveFault) as error:
        if isinstance(error, OSError) and error.errno in SHORTAGES:
            raise
        os.fstat(drive.root)  # raises if the file system was shut down
        log.warning("directory cannot be read", extra={"drive": drive.fsuuid, "directory": name, "error": str(error)})


def _recognise(view: DriveView, drive: DriveDir, name: str) -> VolumeRecord | None:
    """Write and return a record for a volume that upstream made; None if the directory may be something else."""
    with drive.volume(name) as directory:
        capacity = _limit(view, drive, quota.attributes(directory).project)
        if not capacity or quota.attributes(directory).project != project_id(name):
            return None
    record = VolumeRecord(
        name=name, fsuuid=view.fsuuid, capacity=capacity, incarnation=_incarnation(drive, name), created=now_rfc3339()
    )
    with _unless_full(view, "record not written", name), drive.records() as records:
        drive.write_volume(record, records)
    log.info("volume of upstream recorded", extra={"drive": view.fsuuid, "volume": name, "capacity": capacity})
    return record


def _incarnation(drive: DriveDir, name: str) -> str:
    """Return the incarnation of a volume that has lost its record, by its mark; empty if that does not tell."""
    mark = ""
    with alone(drive, f"{META_DIR}/{Mark.HELD.value}"):
        mark = marks.word(drive, Mark.HELD, name) or ""
    return mark if re.match(INCARNATION_PATTERN, mark) else ""


@contextlib.contextmanager
def _unless_full(view: DriveView, what: str, name: str) -> Iterator[None]:
    """Let a write of ours fail for want of space: that decides nothing about the drive."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        log.warning(what, extra={"drive": view.fsuuid, "volume": name, "error": error.strerror})


def _limit(view: DriveView, drive: DriveDir, project: int) -> int:
    if not view.enforced or not project:
        return 0
    return quota.usage(drive.root, view.device_path, project).limit
