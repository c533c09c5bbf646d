"""Breaks mounted drives, and tells whether one is well."""

import fcntl
import os
import struct
from pathlib import Path

from directpv_common.protocol.messages import (
    HeldDrive,
)

_XFS_IOC_GOINGDOWN = 0x8004587D
_LOG_FLUSH, _NO_LOG_FLUSH = 1, 2


def shut_down(path: Path, *, flush_log: bool = False) -> None:
    """Make the file system fail, as it does itself after an I/O error in its log.

    With ``flush_log`` it is on disk as after a power failure: what was synced is in the log, and nowhere else.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, _XFS_IOC_GOINGDOWN, struct.pack("=I", _LOG_FLUSH if flush_log else _NO_LOG_FLUSH))
    finally:
        os.close(descriptor)


def is_ready(held: HeldDrive) -> bool:
    return held.record.status == "Ready" and held.readable
