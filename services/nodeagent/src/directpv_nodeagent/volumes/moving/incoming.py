"""What stands on the two drives of a move. Every function blocks: call it in the drive's executor.

    NEW/.directpv/incoming/<name>/        the copy; attribute COPIED: complete, compared and on disk
    NEW/.directpv/incoming/.<name>.lock   held by whatever works on it
    NEW/<name>/                           put in its place; COPIED goes as soon as it has a record
    OLD/.directpv/sealed/<name>           the move's id; with it the mark "stray", which older agents know as well

Order is what makes a crash harmless. COPIED and the mark "held" are on NEW before OLD is sealed, both before anybody
hears that all was copied. To undo it, OLD is unsealed before the copy goes.
"""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from directpv_common.protocol.errors import DirectPVError, DriveFault, FailedPrecondition
from directpv_common.protocol.messages import HeldCopy, MovePhase, VolumeRecord
from directpv_nodeagent.layout import ballast, copies, marks, volume_dirs
from directpv_nodeagent.layout.core.layout import COPIED, INCOMING_DIR, META_DIR, Mark
from directpv_nodeagent.layout.core.places import describe_paths
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.layout.drive_dir import DriveDir, checked
from directpv_nodeagent.layout.volume_dirs import drive_of, ids_of_others
from directpv_nodeagent.linux import files, mounts, open_files, quota, syscalls
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
def _incoming(drive: DriveDir) -> Iterator[int]:
    with files.opened(META_DIR, drive.root) as meta:
        if ballast.with_room(drive.root, lambda: files.make_directory(INCOMING_DIR, meta, _MODE)):
            os.fsync(meta)
        with files.opened(INCOMING_DIR, meta) as folder:
            yield folder


@contextlib.contextmanager
def copy_of(view: DriveView, name: str) -> Iterator[int]:
    """Open the copy of a volume.

    Raises:
        FileNotFoundError: There is none.
    """
    with (
        drive_of(view) as drive,
        files.opened(META_DIR, drive.root) as meta,
        files.opened(INCOMING_DIR, meta) as folder,
        files.opened(checked(name), folder) as copy,
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
    with drive_of(view) as drive, _incoming(drive) as folder:
        if record.name in drive.volume_names():
            raise FailedPrecondition(
                f"drive {view.fsuuid} has a directory {record.name} already; rename it if it is no copy to keep"
            )
        ballast.with_room(drive.root, lambda: files.make_directory(record.name, folder, _MODE))
        with files.opened(record.name, folder) as copy:
            _not_complete(copy)
            project = volume_dirs.secure(view, copy, record, known)
            os.fsync(copy)
        os.fsync(folder)
        return project


def _not_complete(copy: int) -> None:
    copies.settle(copy)
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


def who_has(view: DriveView, name: str) -> str:
    """Return who can still change a volume that was unmounted, in words; empty: nobody.

    Mounts in containers, which kubelet does not know, and files that are open: an unmount may have been lazy.
    """
    for who, table in mounts.mounts_elsewhere(view.device).items():
        at = [mount.path for mount in table.of(view.device) if mount.shows(f"/{name}") and not mount.read_only]
        if at:
            return f"it is still mounted at {describe_paths(at)} where process {who} runs; end that, or its container"
    with drive_of(view) as drive, drive.volume(name) as volume:
        project = quota.attributes(volume).project
        found = open_files.holders(volume, project) if project else []
    return f"processes have files of it open: {describe_paths(found)}; end them" if found else ""


def complete(view: DriveView, record: VolumeRecord, move: str) -> None:
    """Note that the copy is whole; it is on disk on return, with all that it holds."""
    with drive_of(view) as drive, copy_of(view, record.name) as copy:
        syscalls.syncfs(drive.root)
        marks.put_one(drive, Mark.HELD, record.name, record.incarnation)
        os.setxattr(copy, COPIED, f"{move} {record.incarnation}".encode())
        os.fsync(copy)
        syscalls.syncfs(drive.root)


def found(view: DriveView, name: str) -> HeldCopy | None:
    """Return the copy that a drive has of a volume; None: none."""
    with drive_of(view) as drive:
        return copies.read(drive, checked(name))


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

    Only a move that the registry knows makes a copy the volume: another may be older than the volume. It is one as soon
    as it has a record; until :func:`settle` its directory says of which move it is.

    Raises:
        FailedPrecondition: There is one that is not the one that the registry means.
        DriveFault: Something else is in its place.
    """
    with drive_of(view) as drive:
        copy, placed = copies.read(drive, record.name), copies.placed(drive, record.name)
    if copy is None and placed is not None:  # whoever put it there has not come to its record
        return _is_awaited(view, record, placed)
    if copy is None or not _is_awaited(view, record, copy):
        return False
    with drive_of(view) as drive, _incoming(drive) as folder:
        if record.name in drive.volume_names():
            raise DriveFault(f"{view.fsuuid} has a directory {record.name} beside the copy of the volume")
        ballast.with_room(
            drive.root, lambda: os.rename(record.name, record.name, src_dir_fd=folder, dst_dir_fd=drive.root)
        )
        os.fsync(drive.root)
        files.remove_file(f".{record.name}.lock", folder)
        os.fsync(folder)
        for kind in (Mark.MOVED, Mark.STRAY, Mark.SEALED):
            marks.drop(drive, kind, record.name)
    return True


def settle(view: DriveView, names: Iterable[str]) -> None:
    """Note that copies which were put in their places have their records."""
    with drive_of(view) as drive:
        for name in names:
            with drive.volume(name) as volume:
                copies.settle(volume)


def _is_awaited(view: DriveView, record: VolumeRecord, copy: HeldCopy) -> bool:
    """Tell whether a copy is to become the volume of ``record``; raise if it may be the volume, and nobody knows.

    What is not complete, or of another volume, is nothing to wait for: the leader has it removed.

    Args:
        view: The drive that has the copy, and has the volume in the registry.
        record: The volume, as the registry has it.
        copy: What there is.
    """
    move, incarnation, moving = copy.move, copy.incarnation, record.moving
    meant = moving.id if moving is not None and moving.phase is MovePhase.FLIPPED else ""
    if meant and (move, incarnation) == (meant, record.incarnation):
        return True
    if meant or (move and incarnation == record.incarnation):
        known = f"move {meant}" if meant else "none"
        raise FailedPrecondition(
            f"{record.name}: the copy on drive {view.fsuuid} ({path_of(view, record.name)}) is of move "
            f"{move or 'unknown'}, and the registry knows of {known}; if the copy is not needed, remove it"
        )
    return False


def adopt_all(view: DriveView, records: Iterable[VolumeRecord]) -> dict[str, DirectPVError | None]:
    """Put copies in their places; return those that there were, with what speaks against it."""
    there: dict[str, DirectPVError | None] = {}
    for record in records:
        try:
            if adopt(view, record):
                there[record.name] = None
        except DirectPVError as error:
            there[record.name] = error
    return there


def drop_some(view: DriveView, name: str, seconds: float, known: Mapping[str, int], move: str) -> bool:
    """Delete what was copied, for at most ``seconds``; tell whether nothing is left.

    What another move than ``move`` completed stays.
    """
    there = found(view, name)
    if there is not None and there.move not in ("", move):
        return True
    try:
        with copy_of(view, name) as copy:
            _not_complete(copy)
            project = quota.attributes(copy).project
            if not Purge(copy, seconds).run():
                return False
    except FileNotFoundError:
        return True
    with drive_of(view) as drive, _incoming(drive) as folder:
        if name not in drive.volume_names():
            marks.drop(drive, Mark.HELD, name)
        files.remove_file(f".{name}.lock", folder)
        os.rmdir(name, dir_fd=folder)
        if view.enforced and project and project not in ids_of_others(known, name) and name not in known:
            quota.lift_limit(drive.root, view.device_path, project)
    return True
