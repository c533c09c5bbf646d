"""Room for the agent's own records on a drive that is full. Blocks: call it in an executor.

Volumes may be promised all that a drive has, and together with what records, directories and quota entries take, their
data can fill the file system to its last block. So a file of allocated blocks stands in ``.directpv/``, made before
anything is promised. A write of ours that finds no space gives a piece of it back and tries again; piece by piece,
since pods that wait for space may take what is given back. The file is made whole again when there is room.
"""

import errno
import logging
import os
from collections.abc import Callable
from typing import Final, TypeVar

from directpv_nodeagent.layout.core import layout
from directpv_nodeagent.linux import files

log = logging.getLogger(__name__)
T = TypeVar("T")

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a write to a full file system says."""
_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def keep(root: int) -> bool:
    """Make the ballast whole, if the file system has room for it beside what it must have; tell whether it is whole.

    Args:
        root: Descriptor of the drive's root, which has ``.directpv/``.

    Raises:
        OSError: The drive has failed; a lack of space is no failure.
    """
    state = os.fstatvfs(root)
    wanted = layout.ballast_size(state.f_blocks * state.f_frsize)
    with files.opened(layout.META_DIR, root) as meta:
        try:
            descriptor = os.open(layout.BALLAST_FILE, _FLAGS | os.O_CREAT, 0o640, dir_fd=meta)
        except OSError as error:
            if error.errno in FULL:
                return False
            raise
        try:
            have = os.fstat(descriptor).st_size
            if have >= wanted:
                return True
            if state.f_bavail * state.f_frsize < wanted - have + layout.LEAST_FREE:
                return False
            return _grow(descriptor, have, wanted)
        finally:
            os.close(descriptor)


def _grow(descriptor: int, have: int, wanted: int) -> bool:
    try:
        os.posix_fallocate(descriptor, 0, wanted)
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in FULL:
            raise
        os.ftruncate(descriptor, have)  # XFS keeps what it had allocated until then
        return False
    return True


def with_room(root: int, write: Callable[[], T]) -> T:
    """Call ``write``, which may be called again; while it finds the file system full, give ballast back.

    Raises:
        OSError: What ``write`` raised when there was no ballast left, or for another reason.
    """
    while True:
        try:
            return write()
        except OSError as error:
            if error.errno not in FULL or not _release(root):
                raise


def _release(root: int) -> bool:
    """Give a piece of the ballast back; tell whether there was any."""
    try:
        with files.opened(layout.META_DIR, root) as meta:
            descriptor = os.open(layout.BALLAST_FILE, _FLAGS, dir_fd=meta)
    except OSError:  # missing, or damaged: what the write said is the error then
        return False
    try:
        have = os.fstat(descriptor).st_size
        if not have:
            return False
        left = max(0, have - layout.BALLAST_PIECE)
        os.ftruncate(descriptor, left)
    finally:
        os.close(descriptor)
    log.info("ballast given back for a record", extra={"given": have - left, "left": left})
    return True
