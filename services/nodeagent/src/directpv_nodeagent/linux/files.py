"""Files on a drive: opened below a directory descriptor, links never followed; a crash leaves the old or the new file.

Everything here blocks: call it in an executor.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from typing import Final

TEMPORARY_PREFIX: Final = ".tmp-"
"""Begins the name of what a crash may leave: not complete, or on its way out."""
MAX_FILE: Final = 1024 * 1024
"""Bytes; no file of ours is as large, so one that is was not written by us."""
_READ_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_READ_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def open_directory(name: str, parent: int | None = None) -> int:
    """Return a descriptor of a directory; the last component may not be a link."""
    return os.open(name, _READ_DIRECTORY, dir_fd=parent)


@contextlib.contextmanager
def opened(name: str, parent: int | None = None) -> Iterator[int]:
    """Open a directory while the block runs."""
    descriptor = open_directory(name, parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_file(name: str, parent: int) -> bytes | None:
    """Return the content of a file, or None if there is none.

    Raises:
        OSError: It cannot be read, is a link, or is larger than anything that we write.
    """
    try:
        descriptor = os.open(name, _READ_FILE, dir_fd=parent)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise OSError(f"{name} is larger than {MAX_FILE} bytes; it was not written by DirectPV")
    return data


def write_file(name: str, parent: int, data: bytes, mode: int = 0o640, *, sync_parent: bool = True) -> None:
    """Replace a file; on return it survives power loss, and at any moment before it is the old one or the new one.

    Args:
        name: The file.
        parent: Descriptor of its directory, open for reading.
        data: Its new content.
        mode: Permissions, whatever the umask is.
        sync_parent: False if the caller syncs the directory itself, after several files.
    """
    temporary = f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    descriptor = os.open(temporary, _CREATE_FILE, mode, dir_fd=parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=parent)
        raise
    if sync_parent:
        os.fsync(parent)


def make_directory(name: str, parent: int, mode: int) -> bool:
    """Make a directory with exactly ``mode``, root's; tell whether it is new. The parent is not synced."""
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return False
    with opened(name, parent) as descriptor:
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    return True


def remove_file(name: str, parent: int) -> bool:
    """Remove a file, durably; tell whether there was one."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return False
    os.fsync(parent)
    return True


def remove_leftovers(parent: int) -> None:
    """Remove temporary files that a crash left."""
    for name in os.listdir(parent):
        if name.startswith(TEMPORARY_PREFIX):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=parent)
