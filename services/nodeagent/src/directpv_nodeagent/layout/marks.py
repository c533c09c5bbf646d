"""What a drive remembers of names, apart from its records: one symbolic link per name, in a directory per kind of mark.

A record and a directory can go together, by a damaged file system or by a person; a mark that is left says that there
was something. A link is made and read in one step and holds a word, so that a power failure leaves it whole or not at
all. That a directory may be destroyed stands on the directory itself. Every function blocks: call it in the drive's
executor.
"""

import contextlib
import errno
import logging
import os
import secrets
from collections.abc import Iterator, Mapping

from directpv_common.protocol.messages import is_volume_name
from directpv_nodeagent.layout import ballast
from directpv_nodeagent.layout.core.layout import META_DIR, RETIRED, Mark
from directpv_nodeagent.layout.drive_dir import DriveDir
from directpv_nodeagent.linux import files

log = logging.getLogger(__name__)

_NOTHING = "-"
"""A link cannot be empty."""
_MODE = 0o750


@contextlib.contextmanager
def opened(drive: DriveDir, kind: Mark) -> Iterator[int]:
    """Open the directory of one kind of mark, made if it is missing."""
    with files.opened(META_DIR, drive.root) as meta:
        if ballast.with_room(drive.root, lambda: files.make_directory(kind.value, meta, _MODE)):
            os.fsync(meta)
        with files.opened(kind.value, meta) as directory:
            yield directory


def read(drive: DriveDir, kind: Mark) -> dict[str, str]:
    """Return the names that have the mark, with the word that it holds."""
    with files.opened(META_DIR, drive.root) as meta:
        try:
            directory = files.open_directory(kind.value, meta)
        except FileNotFoundError:
            return {}
        try:
            files.remove_leftovers(directory)
            names = [name for name in os.listdir(directory) if is_volume_name(name)]
            return {name: word for name in names if (word := word_of(name, directory)) is not None}
        finally:
            os.close(directory)


def word(drive: DriveDir, kind: Mark, name: str) -> str | None:
    """Return the word of a name's mark, or None if it has none; makes nothing."""
    with files.opened(META_DIR, drive.root) as meta:
        try:
            with files.opened(kind.value, meta) as directory:
                return word_of(name, directory)
        except FileNotFoundError:
            return None


def word_of(name: str, directory: int) -> str | None:
    """Return the word of a mark, or None if the name has none; ``directory`` is from :func:`opened`."""
    try:
        word = os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL):
            raise
        return None
    return "" if word == _NOTHING else word


def put(name: str, word: str, directory: int) -> bool:
    """Mark a name, or change its word; tell whether that is news. The directory is not synced."""
    with contextlib.suppress(FileExistsError):
        os.symlink(word or _NOTHING, name, dir_fd=directory)
        return True
    if word_of(name, directory) == word:
        return False
    temporary = f"{files.TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    os.symlink(word or _NOTHING, temporary, dir_fd=directory)
    os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    return True


def put_each(words: Mapping[str, str], directory: int) -> int:
    """Mark names as :func:`put` does; return how many marks are news."""
    return sum(put(name, word, directory) for name, word in words.items())


def drop(drive: DriveDir, kind: Mark, name: str) -> None:
    """Take a mark away, durably; missing is fine, and nothing is made for it: the drive may be full."""
    with (
        files.opened(META_DIR, drive.root) as meta,
        contextlib.suppress(FileNotFoundError),
        files.opened(kind.value, meta) as directory,
    ):
        files.remove_file(name, directory)


def put_one(drive: DriveDir, kind: Mark, name: str, word: str) -> None:
    """Mark a name, durably.

    Raises:
        OSError: It could not be marked; a full drive gives ballast back before.
    """
    with opened(drive, kind) as directory:
        ballast.with_room(drive.root, lambda: put(name, word, directory))
        os.fsync(directory)


def put_all(drive: DriveDir, kind: Mark, words: Mapping[str, str]) -> None:
    """Mark names, durably; a drive that is full goes on without."""
    if not words:
        return
    try:
        with opened(drive, kind) as directory:
            if ballast.with_room(drive.root, lambda: put_each(words, directory)):
                os.fsync(directory)
    except OSError as error:
        if error.errno not in ballast.FULL:
            raise
        log.warning("no room for marks", extra={"drive": drive.fsuuid, "kind": kind.value, "count": len(words)})


def retire(directory: int) -> None:
    """Note on a volume's directory, or on what is left of one, that it may be destroyed; durable on return."""
    os.setxattr(directory, RETIRED, b"")
    os.fsync(directory)


def is_retired(directory: int) -> bool:
    """Tell whether a directory may be destroyed."""
    try:
        os.getxattr(directory, RETIRED)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return False
    return True


def keep(directory: int) -> None:
    """Take back that a volume's directory may be destroyed: its removal was cut short before it began."""
    if is_retired(directory):
        os.removexattr(directory, RETIRED)
