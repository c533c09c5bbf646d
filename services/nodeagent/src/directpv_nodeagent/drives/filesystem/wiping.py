"""Zeroes or discards a whole device. Blocks: call it in an executor, a piece at a time.

The beginning, which says which drive it was, goes last: a wipe that was cut short is recognised, and ended.
Source: linux/fs.h, BLKZEROOUT and BLKDISCARD, which take offset and length in bytes.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Final

from directpv_common.protocol.errors import DriveFault, FailedPrecondition
from directpv_common.protocol.messages import Wipe
from directpv_common.protocol.units import MIB
from directpv_nodeagent.devices.signatures import open_alone, read_superblock

_ZERO_OUT: Final = 0x127F
_DISCARD: Final = 0x1277
_RANGE: Final = struct.Struct("=QQ")
_UNABLE: Final = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL})
PIECE: Final = 256 * MIB
BEGINNING: Final = 4 * MIB
"""Super block, and all that any program recognises a device by at its beginning."""


def pieces(size: int) -> Iterator[tuple[int, int]]:
    """Yield offset and length of each piece of a device of ``size`` bytes, the beginning last.

    >>> list(pieces(5 * MIB)) == [(4 * MIB, MIB), (0, 4 * MIB)]
    True
    """
    for offset in range(BEGINNING, size, PIECE):
        yield offset, min(PIECE, size - offset)
    yield 0, min(BEGINNING, size)


def can_discard(sys: Path, number: str) -> bool:
    """Tell whether a device (``major:minor``) takes discards; of a partition, its disk is asked."""
    device = (sys / "dev/block" / number).resolve()
    for queue in (device / "queue", device.parent / "queue"):
        try:
            return int((queue / "discard_max_bytes").read_text()) > 0
        except (OSError, ValueError):
            continue
    return False


def hold(path: str, number: str, fsuuid: str) -> FileIO:
    """Return the device that carries drive ``fsuuid``, open so that nobody else can use it.

    Raises:
        FailedPrecondition: It carries something else by now.
        DriveFault: It cannot be opened, or the kernel uses it.
    """
    with open_alone(path, number, os.O_RDWR) as device:
        block = read_superblock(device, path)
        if block is None or block.fsuuid != fsuuid:
            raise FailedPrecondition(f"{path} does not carry drive {fsuuid} any more; it was not wiped")
        return FileIO(os.dup(device), "r+")


def wipe_piece(device: int, path: str, wipe: Wipe, offset: int, length: int) -> None:
    """Wipe one piece, durably.

    Raises:
        DriveFault: The device cannot do that, or fails.
    """
    request = _DISCARD if wipe is Wipe.DISCARD and offset else _ZERO_OUT
    try:
        fcntl.ioctl(device, request, _RANGE.pack(offset, length))
        os.fsync(device)
    except OSError as error:
        what = f"{path} cannot be wiped at {offset}: {error.strerror}"
        raise DriveFault(what + ("; it cannot do that at all" if error.errno in _UNABLE else "")) from error
