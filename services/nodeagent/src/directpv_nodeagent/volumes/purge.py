"""Deletes what is left of removed volumes, a little at a time. Blocks: call it in an executor.

Follows no link, leaves neither the file system nor the mount, and copes with what a program can leave behind: trees
deeper than any path or descriptor table, directories of millions of files, files marked immutable.
"""

import errno
import os
import secrets
import stat
from collections.abc import Callable
from time import monotonic
from typing import Final

from directpv_common.protocol.errors import DriveFault
from directpv_nodeagent.linux import files, quota
from directpv_nodeagent.linux.core.quota import APPEND_ONLY, IMMUTABLE
from directpv_nodeagent.linux.files import TEMPORARY_PREFIX

_DEEP: Final = 64
"""Directories below this depth are moved up, so that neither descriptors nor the stack run out."""
_TOO_DEEP: Final = 400


class Purge:
    """One pass over one directory of remains, for at most ``seconds``."""

    def __init__(self, top: int, seconds: float) -> None:
        self._top = top
        self._mount = mount_id(top)
        self._end = monotonic() + seconds

    def run(self) -> bool:
        """Delete the content of ``top``; tell whether all is gone.

        Raises:
            DriveFault: Another file system is mounted inside.
            OSError: What the kernel said.
        """
        unlock(self._top)  # what is too deep is moved up to it
        return self._empty(self._top, 0)

    def _empty(self, directory: int, depth: int) -> bool:
        clean = True
        with os.scandir(directory) as entries:
            for entry in entries:
                if monotonic() >= self._end:
                    return False
                if entry.is_dir(follow_symlinks=False):
                    clean = self._remove_directory(entry.name, directory, depth) and clean
                else:
                    _insist(lambda name=entry.name: os.unlink(name, dir_fd=directory), entry.name, directory)  # type: ignore[misc]
        return clean

    def _remove_directory(self, name: str, parent: int, depth: int) -> bool:
        if depth >= _DEEP and self._lift(name, parent):
            return False
        if depth >= _TOO_DEEP:
            raise DriveFault(f"remains of a volume are nested too deep at {name}")
        with files.opened(name, parent) as directory:
            if mount_id(directory) != self._mount:
                raise DriveFault(f"another file system is mounted on {name} in the remains of a volume; unmount it")
            if not self._empty(directory, depth + 1):
                return False
        try:
            _insist(lambda: os.rmdir(name, dir_fd=parent), name, parent)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
        return True

    def _lift(self, name: str, parent: int) -> bool:
        """Move a directory to the top of the remains; False if the file system will not."""
        higher = f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        try:
            _insist(lambda: os.rename(name, higher, src_dir_fd=parent, dst_dir_fd=self._top), name, parent)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return False
        return True


def mount_id(descriptor: int) -> int:
    """Return the id of the mount through which ``descriptor`` was opened (proc(5), ``fdinfo``)."""
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as info:
        return next(int(line.split()[1]) for line in info if line.startswith("mnt_id:"))


def _insist(remove: Callable[[], None], name: str, parent: int) -> None:
    """Call ``remove``; if it is not permitted, take the immutable and append-only flags away and call it again."""
    try:
        remove()
    except FileNotFoundError:
        pass
    except PermissionError:
        unlock(parent)
        if stat.S_IFMT(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode) in (stat.S_IFREG, stat.S_IFDIR):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=parent)
            try:
                unlock(descriptor)
            finally:
                os.close(descriptor)
        remove()


def unlock(descriptor: int) -> None:
    """Take the immutable and append-only flags away from what is open as ``descriptor``."""
    found = quota.attributes(descriptor)
    if found.flags & (IMMUTABLE | APPEND_ONLY):
        quota.set_attributes(descriptor, found._replace(flags=found.flags & ~(IMMUTABLE | APPEND_ONLY)))
