"""What is done to volumes on a mounted drive. Every function blocks: call it in the drive's executor.

Order is what makes a crash harmless: directory, project id and limit are on disk before the mark that there is such a
volume, and that before the record; a record grows before the limit does; the directory is renamed before the record
goes. Whatever step is the last one, the same call again ends the work.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence

from directpv_common.protocol.errors import DirectPVError, DriveFault, FailedPrecondition
from directpv_common.protocol.messages import DriveRecord, VolumeRecord
from directpv_nodeagent.layout import ballast, marks
from directpv_nodeagent.layout.core import limits
from directpv_nodeagent.layout.core.layout import DELETED_SUFFIX, Mark, free_project_id, is_later, is_project_of
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.layout.drive_dir import DriveDir, open_drive
from directpv_nodeagent.linux import quota
from directpv_nodeagent.linux.core.quota import rounded


@contextlib.contextmanager
def drive_of(view: DriveView) -> Iterator[DriveDir]:
    """Open the drive that ``view`` shows.

    Raises:
        DriveFault: It is not mounted any more, or another file system is there.
    """
    with open_drive(view.path, view.fsuuid) as drive:
        if drive.device != view.device:
            raise DriveFault(f"{view.fsuuid}: device {drive.device} is mounted at {view.path} instead of {view.device}")
        yield drive


def prepare(
    view: DriveView, records: Sequence[VolumeRecord], projects: Mapping[str, int], recorded: frozenset[str]
) -> dict[str, int | DirectPVError]:
    """Make directory, project id, limit and record of each volume, or bring them up to date; durable on return.

    Args:
        view: The drive.
        records: What to keep.
        projects: Project ids in use on the drive.
        recorded: Volumes that have a record already: their directory is never made anew, because it held data. The
            same holds for those that have only a mark left.

    Returns:
        Per volume its project id, or why it could not be prepared.

    Raises:
        OSError: The drive failed as a whole.
    """
    outcome: dict[str, int | DirectPVError] = {}
    known = dict(projects)
    with drive_of(view) as drive, drive.records() as directory, marks.opened(drive, Mark.HELD) as held:
        for record in records:
            may_make = record.name not in recorded and not _was_held(record, held)
            try:
                if may_make:
                    _check_not_anothers(drive, record, held)
                known[record.name] = _make(view, drive, record, known, may_make=may_make)
                outcome[record.name] = known[record.name]
            except DirectPVError as error:
                outcome[record.name] = error
        os.fsync(drive.root)
        made = [record for record in records if isinstance(outcome[record.name], int)]
        if ballast.with_room(drive.root, lambda: marks.put_each({r.name: r.incarnation for r in made}, held)):
            os.fsync(held)
        for record in made:
            drive.write_volume(record, directory, sync_parent=False)
        os.fsync(directory)
    return outcome


def _was_held(record: VolumeRecord, held: int) -> bool:
    """Tell whether the drive had this volume already, for all that is known: an empty one in its place is data lost."""
    mark = marks.word_of(record.name, held)
    return mark is not None and not is_later(mark, record.incarnation)


def _check_not_anothers(drive: DriveDir, record: VolumeRecord, held: int) -> None:
    """Raise if the directory of that name holds data of an earlier volume, which has lost its record."""
    with contextlib.suppress(FileNotFoundError), drive.volume(record.name) as directory:
        if is_later(marks.word_of(record.name, held) or "", record.incarnation) and not is_empty(directory):
            raise another(drive, record.name)


def another(drive: DriveDir, name: str) -> FailedPrecondition:
    """Return the error for a directory that is another volume's, as its mark says."""
    return FailedPrecondition(
        f"the directory {name} on drive {drive.fsuuid} is that of an earlier volume of that name, whose record is "
        "lost; give it another name, or remove it"
    )


def _make(view: DriveView, drive: DriveDir, record: VolumeRecord, known: Mapping[str, int], *, may_make: bool) -> int:
    if may_make:
        drive.make_volume(record.name)
    try:
        with drive.volume(record.name) as directory:
            project = ballast.with_room(drive.root, lambda: secure(view, directory, record, known))
            os.fsync(directory)
            return project
    except FileNotFoundError:
        raise vanished(drive, record.name) from None


def vanished(drive: DriveDir, name: str) -> DriveFault:
    """Return the error for a volume that the drive had, and that has no directory any more."""
    back = f"rename {name}{DELETED_SUFFIX} back" if name in drive.deleted_names() else "put it back from a copy"
    return DriveFault(
        f"the directory of {name} is gone from drive {drive.fsuuid}, not by DirectPV; {back}, or delete the volume"
    )


def secure(
    view: DriveView, directory: int, record: VolumeRecord, known: Mapping[str, int], *, whole_tree: bool = False
) -> int:
    """Bring project id and limits of a volume's directory to what its record says, and return the id.

    Args:
        view: The drive.
        directory: The volume's directory.
        record: Its record.
        known: Project ids in use on the drive.
        whole_tree: Whether a directory that already has content without project id gets one, file by file.
            Otherwise only its limit is set, and the id when it is staged.
    """
    taken = ids_of_others(known, record.name)
    found = quota.attributes(directory)
    project = found.project
    if not is_project_of(record.name, project, taken):
        project = free_project_id(record.name, taken)
    counted = found.belongs_to(project)
    if not counted and whole_tree:
        quota.tag_tree(directory, project)
        counted = True
    elif not counted and is_empty(directory):
        quota.ensure_project(directory, project)
        counted = True
    if view.enforced:
        use = quota.usage(directory, view.device_path, project)
        wanted = limits.wanted(record, use)
        if not counted:  # how many files it has is known when they are tagged
            wanted = wanted._replace(inodes=use.inode_limit)
        if rounded(wanted) != use.limits:
            quota.set_limits(directory, view.device_path, project, wanted)
    return project


def is_secured(directory: int, name: str, known: Mapping[str, int]) -> bool:
    """Tell whether the volume's directory counts towards a project of its own."""
    found = quota.attributes(directory)
    return found.belongs_to(found.project) and is_project_of(name, found.project, ids_of_others(known, name))


def ids_of_others(known: Mapping[str, int], name: str) -> frozenset[int]:
    """Return the project ids of all but ``name`` and its own remains."""
    return frozenset(number for other, number in known.items() if other not in (name, f"{name}{DELETED_SUFFIX}"))


def is_empty(directory: int) -> bool:
    """Tell whether a directory has no entries."""
    with os.scandir(directory) as entries:
        return next(entries, None) is None


def find(view: DriveView, name: str, incarnation: str) -> tuple[bool, int]:
    """Tell whether the drive has a directory for the volume, and the limit in bytes that it has; 0 if none.

    Raises:
        FailedPrecondition: It has one, of an earlier volume of that name.
    """
    try:
        with drive_of(view) as drive, drive.volume(name) as directory:
            if is_later(marks.word(drive, Mark.HELD, name) or "", incarnation) and not is_empty(directory):
                raise another(drive, name)
            project = quota.attributes(directory).project
            if not (view.enforced and project):
                return True, 0
            return True, quota.usage(directory, view.device_path, project).limit
    except FileNotFoundError:
        _check_not_moved(view, name)
        return False, 0


def _check_not_moved(view: DriveView, name: str) -> None:
    """Raise if the volume was moved to another drive: what the volume context names is where it was made."""
    with drive_of(view) as drive:
        home = marks.word(drive, Mark.MOVED, name)
    if home is not None:
        raise FailedPrecondition(f"{name} was moved from drive {view.fsuuid} to drive {home}; put that drive back")


def resize(view: DriveView, record: VolumeRecord, known: Mapping[str, int]) -> int:
    """Keep a volume's larger capacity, then raise its limit; durable on return. Return the project id."""
    with drive_of(view) as drive, drive.records() as directory:
        drive.write_volume(record, directory)
        try:
            with drive.volume(record.name) as volume:
                project = ballast.with_room(drive.root, lambda: secure(view, volume, record, known))
                os.fsync(volume)
                return project
        except FileNotFoundError:
            raise vanished(drive, record.name) from None


def write_volume_record(view: DriveView, record: VolumeRecord) -> None:
    """Keep a volume's record on its drive; durable on return."""
    with drive_of(view) as drive, drive.records() as directory:
        drive.write_volume(record, directory)


def mark_stray(view: DriveView, name: str, home: str) -> None:
    """Keep on the drive that what it has of a volume is a copy of what ``home`` has; or, if that is empty, that not."""
    with drive_of(view) as drive:
        if home:
            marks.put_all(drive, Mark.STRAY, {name: home})
        else:
            marks.drop(drive, Mark.STRAY, name)


def write_drive_record(view: DriveView, record: DriveRecord) -> None:
    """Keep the drive's record on the drive."""
    with drive_of(view) as drive:
        drive.write_record(record)
