"""What a loop device shows. Blocking; asks the loop driver, and reads nothing."""

import contextlib
import fcntl
import os
import struct
from typing import Final, NamedTuple

from directpv_nodeagent.devices.sysfs import Roots

_LOOP_GET_STATUS64: Final = 0x4C05
_STATUS: Final = struct.Struct("=QQQQ")
_STATUS_BYTES: Final = 232


class Behind(NamedTuple):
    """What is behind a loop device; source: ``struct loop_info64`` (linux/loop.h)."""

    file: str
    """Device and inode number of the file, and the offset in it."""
    number: str
    """``<major>:<minor>`` if that file is a block device; empty if not."""


def behind(roots: Roots, name: str) -> Behind | None:
    """Return what loop device ``name`` shows; None if it shows nothing, or cannot be asked."""
    if not (roots.block(name) / "loop/backing_file").exists():
        return None
    buffer = bytearray(_STATUS_BYTES)
    with contextlib.suppress(OSError):
        descriptor = os.open(roots.path(name), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, _LOOP_GET_STATUS64, buffer)
        finally:
            os.close(descriptor)
        device, inode, backing, offset = _STATUS.unpack_from(buffer)
        number = f"{os.major(backing)}:{os.minor(backing)}" if backing else ""
        return Behind(f"{device:x}:{inode} {offset}", number)
    return None
