"""Places that something is mounted on: opened without following links, made, removed when empty.

Everything here blocks: call it in an executor.
"""

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Iterator
from typing import Final

from directpv_common.protocol.errors import FailedPrecondition, InvalidRequest

_PLACE: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY: Final = _PLACE | os.O_DIRECTORY
_NAMED: Final = 5
"""So many files of others are named."""


def canonical(path: str, field: str) -> str:
    """Return ``path`` as the mount table shows it; the last component is not followed.

    Raises:
        InvalidRequest: ``..``, no absolute path, or the root; names ``field``.
    """
    parts = path.split("/")
    if not path.startswith("/") or "\0" in path or ".." in parts:
        raise InvalidRequest(f"{field}: {path!r} is not an absolute path without '..'", field=field)
    clean = os.path.normpath(path).replace("//", "/")
    if clean == "/":
        raise InvalidRequest(f"{field}: the root directory cannot be used", field=field)
    parent, name = os.path.split(clean)
    return os.path.join(os.path.realpath(parent), name)


@contextlib.contextmanager
def directory(path: str) -> Iterator[int]:
    """Open a directory as ``O_PATH`` descriptor, without following a link in the last component."""
    with _opened(path, _DIRECTORY) as descriptor:
        yield descriptor


@contextlib.contextmanager
def place(name: str, parent: int | None = None) -> Iterator[int]:
    """Open what may be mounted, or mounted on, as ``O_PATH`` descriptor: a directory or a file, whatever its state.

    Raises:
        OSError: What the kernel said; ELOOP if it is a symbolic link.
    """
    with _opened(name, _PLACE, parent) as descriptor:
        if _is_link(descriptor):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
        yield descriptor


def _is_link(descriptor: int) -> bool:
    with contextlib.suppress(OSError):  # a failed file system does not tell; what is mounted is no link
        return stat.S_ISLNK(os.fstat(descriptor).st_mode)
    return False


def is_directory(path: str) -> bool:
    """Tell whether ``path`` is a directory, also on a file system that has failed.

    Raises:
        OSError: What the kernel said.
    """
    try:
        with directory(path):
            return True
    except NotADirectoryError:
        return False


@contextlib.contextmanager
def _opened(path: str, flags: int, parent: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, flags, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def ensure_directory(path: str, field: str, mode: int = 0o750) -> None:
    """Make the last component of ``path`` if it is missing.

    Raises:
        FailedPrecondition: Its parent is missing (then the path is not what kubelet sees), or it is no directory.
    """
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        pass
    except FileNotFoundError:
        raise FailedPrecondition(
            f"{field}: the parent directory of {path} does not exist; is kubelet's directory mounted into the agent?",
            field=field,
        ) from None
    try:
        with directory(path):
            pass
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        raise FailedPrecondition(f"{field}: {path} is not a directory; remove it", field=field) from None


def remove_directory(path: str, field: str) -> tuple[str, ...]:
    """Remove an empty directory; missing is fine, content is never touched.

    Returns:
        The first names of what it holds, if it is not empty; it stays then.

    Raises:
        FailedPrecondition: It is not a directory, or a mount point still.
    """
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            with os.scandir(path) as entries:
                return tuple(entry.name for entry in itertools.islice(entries, _NAMED))
        if error.errno not in (errno.ENOTDIR, errno.EBUSY):
            raise
        raise FailedPrecondition(
            f"{field}: {path} cannot be removed ({error.strerror}); look at what it is and remove it by hand",
            field=field,
        ) from None
    return ()
