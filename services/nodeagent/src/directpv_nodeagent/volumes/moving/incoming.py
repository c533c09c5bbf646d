"""What stands on the two drives of a move. Every function blocks: call it in the drive's executor.

    NEW/.directpv/incoming/<name>/        the copy; attribute COPIED: complete, compared and on disk
    NEW/.directpv/incoming/.<name>.lock   held by whatever works on it
    OLD/.directpv/sealed/<name>           the move's id; with it the mark "stray", which older agents know as well

Order is what makes a crash harmless. COPIED and the mark "held" are on NEW before OLD is sealed, both before anybody
hears that all was copied. To undo it, OLD is unsealed before the copy goes.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from directpv_common.protocol.errors import DirectPVError, DriveFault, FailedPrecondition
from directpv_common.protocol.messages import VolumeRecord
from directpv_nodeagent.layout import ballast, marks, volume_dirs
from directpv_nodeagent.layout.core.held import DriveView
from directpv_nodeagent.layout.core.layout import COPIED, INCOMING_DIR, META_DIR, Mark
from directpv_nodeagent.layout.core.places import describe_paths, mounted_at
from directpv_nodeagent.layout.drive_dir import DriveDir, checked
from directpv_nodeagent.layout.volume_dirs import drive_of, ids_of_others
from directpv_nodeagent.linux import files, mounts, quota, syscalls
from directpv_nodeagent.volumes.moving.comparing import Wrong
from directpv_nodeagent.volumes.purge import Purge

_MODE: Final = 0o700


def path_of(view: DriveView, name: str) -> str:
    """Return where the copy of a volume is."""
    return f"{view.path}/{META_DIR}/{INCOMING_DIR}/{checked(name)}"


def lock_of(view: DriveView, name: str) -> str:
    """Return the file that is locked by whatever works on the copy."""
    return f"{view.path}/{META_DIR}/{INCOMING_DIR}/.{checked(name)}.lock"


@contextlib.contextmanager
def _copies(drive: DriveDir) -> Iterator[int]:
    with files.opened(META_DIR, drive.root) as meta:
        if ballast.with_room(drive.root, lambda: files.make_directory(INCOMING_DIR, meta, _MODE)):
            os.fsync(meta)
        with files.opened(INCOMING_DIR, meta) as copies:
            yield copies


@contextlib.contextmanager
def copy_of(view: DriveView, name: str) -> Iterator[int]:
    """Open the copy of a volume.

    Raises:
        FileNotFoundError: There is none.
    """
    with (
        drive_of(view) as drive,
        files.opened(META_DIR, drive.root) as meta,
        files.opened(INCOMING_DIR, meta) as copies,
        files.opened(checked(name), copies) as copy,
    ):
        yield copy


@contextlib.contextmanager
def both(source: DriveView, target: DriveView, name: str) -> Iterator[tuple[int, int]]:
    """Open a volume's directory, and its copy."""
    with drive_of(source) as drive, drive.volume(name) as volume, copy_of(target, name) as copy:
        yield volume, copy


def begin(view: DriveView, record: VolumeRecord, known: Mapping[str, int]) -> int:
    """Make the directory for a copy, with project id and limits of the volume; what is there already is gone on with.

    Returns:
        Its project id.

    Raises:
        FailedPrecondition: The drive has a directory of the volume's name.
    """
    with drive_of(view) as drive, _copies(drive) as copies:
        if record.name in drive.volume_names():
            raise FailedPrecondition(
                f"drive {view.fsuuid} has a directory {record.name} already; rename it if it is no copy to keep"
            )
        ballast.with_room(drive.root, lambda: files.make_directory(record.name, copies, _MODE))
        with files.opened(record.name, copies) as copy:
            _not_complete(copy)
            project = volume_dirs.secure(view, copy, record, known)
            os.fsync(copy)
        os.fsync(copies)
        return project


def _not_complete(copy: int) -> None:
    try:
        os.removexattr(copy, COPIED)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
    os.fsync(copy)


def take_out(target: DriveView, name: str, wrong: Iterable[Wrong]) -> None:
    """Remove from the copy what is not as in the volume, so that the next pass makes it anew; directories stay."""
    with copy_of(target, name) as copy:
        for each in wrong:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                _unlink_below(copy, each.path)


def _unlink_below(top: int, path: str) -> None:
    *above, name = path.split("/")
    with contextlib.ExitStack() as stack:
        folder = top
        for part in above:
            folder = stack.enter_context(files.opened(part, folder))
        if name and not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=folder)


def require_unmounted(view: DriveView, name: str) -> None:
    """Raise if a volume is mounted anywhere.

    Raises:
        FailedPrecondition: It is; names the paths.
    """
    paths = mounted_at(mounts.all_mounts(), view.place(name))
    if paths:
        raise FailedPrecondition(f"{name} is mounted at {describe_paths(paths)}")


def complete(view: DriveView, record: VolumeRecord, move: str) -> None:
    """Note that the copy is whole; it is on disk on return, with all that it holds."""
    with drive_of(view) as drive, copy_of(view, record.name) as copy:
        syscalls.syncfs(drive.root)
        marks.put_one(drive, Mark.HELD, record.name, record.incarnation)
        os.setxattr(copy, COPIED, f"{move} {record.incarnation}".encode())
        os.fsync(copy)
        syscalls.syncfs(drive.root)


def completed_by(view: DriveView, name: str) -> tuple[str, str] | None:
    """Return the id of the move that completed the copy, and the volume's incarnation; ``("", "")`` if none did.

    None: the drive has no copy.
    """
    try:
        with copy_of(view, name) as copy:
            words = os.getxattr(copy, COPIED).decode()
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return "", ""
    move, _, incarnation = words.partition(" ")
    return move, incarnation


def seal(view: DriveView, name: str, move: str, home: str) -> None:
    """Note on the source that all of a volume was copied to ``home``; durable on return."""
    with drive_of(view) as drive:
        marks.put_one(drive, Mark.SEALED, name, move)
        marks.put_one(drive, Mark.STRAY, name, home)


def unseal(view: DriveView, name: str, move: str = "") -> None:
    """Note that what the source has is the volume after all; durable on return. Not if another move has sealed it."""
    with drive_of(view) as drive:
        if move and marks.word(drive, Mark.SEALED, name) != move:
            return
        marks.drop(drive, Mark.STRAY, name)
        marks.drop(drive, Mark.SEALED, name)


def adopt(view: DriveView, record: VolumeRecord) -> bool:
    """Put the copy of a volume in its place, for the registry has the volume on this drive; tell whether there was one.

    Raises:
        FailedPrecondition: There is one that is not complete, or of another volume of that name.
        DriveFault: Something else is in its place.
    """
    found = completed_by(view, record.name)
    if found is None:
        return False
    move, incarnation = found
    if not move or incarnation != record.incarnation:
        raise FailedPrecondition(
            f"{record.name}: the copy in {path_of(view, record.name)} is not complete, or of another volume of that "
            "name; if it is not needed, remove it"
        )
    with drive_of(view) as drive, _copies(drive) as copies:
        if record.name in drive.volume_names():
            raise DriveFault(f"{view.fsuuid} has a directory {record.name} beside the copy of the volume")
        ballast.with_room(
            drive.root, lambda: os.rename(record.name, record.name, src_dir_fd=copies, dst_dir_fd=drive.root)
        )
        os.fsync(drive.root)
        os.fsync(copies)
        for kind in (Mark.MOVED, Mark.STRAY, Mark.SEALED):
            marks.drop(drive, kind, record.name)
    return True


def adopt_all(view: DriveView, records: Iterable[VolumeRecord]) -> dict[str, DirectPVError | None]:
    """Put copies in their places; return those that there were, with what speaks against it."""
    found: dict[str, DirectPVError | None] = {}
    for record in records:
        try:
            if adopt(view, record):
                found[record.name] = None
        except DirectPVError as error:
            found[record.name] = error
    return found


def drop_some(view: DriveView, name: str, seconds: float, known: Mapping[str, int], move: str) -> bool:
    """Delete what was copied, for at most ``seconds``; tell whether nothing is left.

    What another move than ``move`` completed stays.
    """
    found = completed_by(view, name)
    if found is not None and found[0] not in ("", move):
        return True
    try:
        with copy_of(view, name) as copy:
            _not_complete(copy)
            project = quota.attributes(copy).project
            if not Purge(copy, seconds).run():
                return False
    except FileNotFoundError:
        return True
    with drive_of(view) as drive, _copies(drive) as copies:
        if name not in drive.volume_names():
            marks.drop(drive, Mark.HELD, name)
        files.remove_file(f".{name}.lock", copies)
        os.rmdir(name, dir_fd=copies)
        if view.enforced and project and project not in ids_of_others(known, name) and name not in known:
            quota.lift_limit(drive.root, view.device_path, project)
    return True
