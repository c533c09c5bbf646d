"""Copies of volumes that are moved to a drive: one directory each, in ``.directpv/incoming/``. Blocks."""

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Final

from directpv_common.protocol.messages import HeldCopy, is_volume_name
from directpv_nodeagent.layout import ballast, usage
from directpv_nodeagent.layout.core.layout import COPIED, INCOMING_DIR, META_DIR
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.layout.drive_dir import DriveDir
from directpv_nodeagent.linux import files

_MODE: Final = 0o700
_COUNT_SECONDS: Final = 2.0
"""How long the files of a copy without limit are counted."""


def names(drive: DriveDir) -> list[str]:
    """Return the volumes of which there is a copy, sorted; makes nothing."""
    try:
        with files.opened(META_DIR, drive.root) as meta, files.opened(INCOMING_DIR, meta) as copies:
            return sorted(filter(is_volume_name, os.listdir(copies)))
    except FileNotFoundError:
        return []


def read(drive: DriveDir, name: str) -> HeldCopy | None:
    """Return what is there of a volume; None: no copy."""
    try:
        with _opened(drive, name) as copy:
            return _described(name, copy)
    except (FileNotFoundError, NotADirectoryError):
        return None


def size(view: DriveView, drive: DriveDir, name: str) -> int:
    """Return how many bytes are set aside for a copy that is there: its limit, or what it takes if it has none."""
    with _opened(drive, name) as copy:
        use, _ = usage.use_of(view, copy, _COUNT_SECONDS)
    return use.limit or use.used


@contextlib.contextmanager
def _opened(drive: DriveDir, name: str) -> Iterator[int]:
    with (
        files.opened(META_DIR, drive.root) as meta,
        files.opened(INCOMING_DIR, meta) as copies,
        files.opened(name, copies) as copy,
    ):
        yield copy


def placed(drive: DriveDir, name: str) -> HeldCopy | None:
    """Return the copy that stands in the volume's place and has no record yet; None: what stands there is none."""
    try:
        with files.opened(name, drive.root) as copy:
            found = _described(name, copy)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found if found.move else None


def settle(volume: int) -> None:
    """Note that what was a copy is the volume: it has its record. Durable on return."""
    try:
        os.removexattr(volume, COPIED)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
    else:
        os.fsync(volume)


def take_back(drive: DriveDir, name: str) -> HeldCopy | None:
    """Put a copy that got no record back among the copies, where the leader has it put in its place again, or removed.

    Whoever put it there was killed, and the registry may not know that move any more. None: it is no copy, or there is
    another one.
    """
    found = placed(drive, name)
    if found is None:
        return None
    with files.opened(META_DIR, drive.root) as meta:
        ballast.with_room(drive.root, lambda: files.make_directory(INCOMING_DIR, meta, _MODE))
        with files.opened(INCOMING_DIR, meta) as copies:
            if name in os.listdir(copies):
                return None
            ballast.with_room(drive.root, lambda: os.rename(name, name, src_dir_fd=drive.root, dst_dir_fd=copies))
            os.fsync(copies)
    os.fsync(drive.root)
    return found


def _described(name: str, copy: int) -> HeldCopy:
    words = ""
    try:
        words = os.getxattr(copy, COPIED).decode(errors="replace")
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
    move, _, incarnation = words.partition(" ")
    return HeldCopy(name=name, move=move, incarnation=incarnation)
