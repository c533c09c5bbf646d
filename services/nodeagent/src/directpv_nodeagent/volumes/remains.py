"""Takes volumes away and deletes what remains of them. Blocks: call it in the drive's executor.

What may be destroyed is marked, then the directory is renamed, then the record goes, all before a reply. The limit
stays until the data is gone, and with it the directory: deleted files that somebody has open keep their space, and its
project id tells how much. Remains without mark are not ours to destroy: somebody renamed a directory.
"""

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from time import monotonic, sleep
from typing import Final

from directpv_common.protocol.errors import FailedPrecondition
from directpv_common.protocol.units import format_bytes
from directpv_nodeagent.layout import marks
from directpv_nodeagent.layout.core.layout import DELETED_SUFFIX, Mark
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.layout.drive_dir import DriveDir, checked
from directpv_nodeagent.layout.volume_dirs import drive_of, ids_of_others
from directpv_nodeagent.linux import files, quota
from directpv_nodeagent.linux.open_files import holders_of_deleted
from directpv_nodeagent.volumes.purge import Purge, unlock

_FREED_SECONDS: Final = 1.0
_FREED_PAUSE: Final = 0.02


def retire(view: DriveView, name: str, moved_to: str = "") -> bool:
    """Take a volume away: mark it, rename its directory, remove its record, each durably. Tell whether data remains.

    What was moved to another drive leaves marks: it is never made anew here, and empty.

    Raises:
        FailedPrecondition: The name of its remains is taken by a directory that DirectPV did not rename.
    """
    with drive_of(view) as drive:
        with contextlib.suppress(FileNotFoundError), drive.volume(name) as directory:
            unlock(directory)  # an immutable or append-only directory cannot be marked or renamed
        if moved_to:
            marks.put_one(drive, Mark.MOVED, name, moved_to)
        _mark(drive, name)
        drive.retire(name)
        drive.remove_record(name)
        for kind in Mark:
            if not (moved_to and kind in (Mark.HELD, Mark.MOVED)):
                marks.drop(drive, kind, name)
        return name in drive.deleted_names()


def _mark(drive: DriveDir, name: str) -> None:
    """Mark what is to be destroyed: the volume's directory, else what is left of it."""
    here = name in drive.volume_names()
    with contextlib.ExitStack() as stack:
        left = stack.enter_context(_remains(drive, name)) if name in drive.deleted_names() else None
        if left is not None and here and not marks.is_retired(left):
            raise FailedPrecondition(
                f"{name} cannot be removed: {drive.path}/{name}{DELETED_SUFFIX} was not made by DirectPV; "
                "give it another name, or remove it"
            )
        if here:
            marks.retire(stack.enter_context(drive.volume(name)))
        elif left is not None:
            marks.retire(left)


def purge_some(view: DriveView, name: str, seconds: float) -> bool:
    """Delete what remains of a removed volume for at most ``seconds``; tell whether all content is gone."""
    with drive_of(view) as drive, contextlib.suppress(FileNotFoundError), _remains(drive, name) as directory:
        return Purge(directory, seconds).run()
    return True


@contextlib.contextmanager
def _remains(drive: DriveDir, name: str) -> Iterator[int]:
    with files.opened(f"{checked(name)}{DELETED_SUFFIX}", drive.root) as directory:
        yield directory


class StillCharged(Exception):
    """All names are gone, but not all space: deleted files are open."""

    def __init__(self, project: int, used: int) -> None:
        super().__init__(f"deleted files that are still open keep {format_bytes(used) if used else 'space'}")
        self.project = project


def end_purge(view: DriveView, name: str, known: Mapping[str, int]) -> bool:
    """Remove the emptied directory, then lift the limit of its project; tell whether nothing is left.

    The limit stays if a volume lives under the project: one of the same name that was made since, or another. What was
    left of the removed volume is charged to that one then, and not promised to anybody else.

    Raises:
        StillCharged: Deleted files are open.
    """
    with drive_of(view) as drive:
        try:
            with _remains(drive, name) as directory:
                project = quota.attributes(directory).project
        except FileNotFoundError:
            return True
        own = bool(project) and project not in ids_of_others(known, name) and name not in known
        if own:
            _check_gone(view, drive, project)
        try:
            os.rmdir(f"{name}{DELETED_SUFFIX}", dir_fd=drive.root)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
        os.fsync(drive.root)
        if view.enforced and own:
            quota.lift_limit(drive.root, view.device_path, project)
        return True


def _check_gone(view: DriveView, drive: DriveDir, project: int) -> None:
    """Raise while more than the directory itself is charged; XFS frees what was deleted a moment later, in a thread."""
    if not view.enforced:
        if holders_of_deleted(drive.root, project):
            raise StillCharged(project, 0)
        return
    end = monotonic() + _FREED_SECONDS
    while (use := quota.usage(drive.root, view.device_path, project)).inodes > 1:
        if monotonic() >= end:
            raise StillCharged(project, use.used)
        os.fstatvfs(drive.root)  # sets that thread going
        sleep(_FREED_PAUSE)


def who_holds(view: DriveView, project: int) -> list[str]:
    """Return the processes that hold deleted files of a project, as pid and name."""
    with drive_of(view) as drive:
        return holders_of_deleted(drive.root, project)
