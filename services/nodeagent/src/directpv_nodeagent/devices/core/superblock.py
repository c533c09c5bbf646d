"""The XFS super block: which file system a device carries, and how large it is.

Source: XFS on-disk format, ``struct xfs_dsb``; all numbers are big endian.
"""

import struct
import uuid
from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"XFSB"
LENGTH: Final = 512
"""Bytes to read from the start of a device: all fields lie in its first sector."""
_BLOCK_SIZES: Final = frozenset(1 << power for power in range(9, 17))
_HEAD: Final = struct.Struct(">4sIQ")
_UUID_AT: Final = slice(32, 48)
_LABEL_AT: Final = slice(108, 120)
_FREE: Final = struct.Struct(">Q")
_FREE_AT: Final = 144


@dataclass(frozen=True, slots=True)
class Superblock:
    """What identifies an XFS and its size; sizes in file system blocks of ``block_size`` bytes.

    While it is mounted, sizes lag behind (a growfs stays in the log for a while): ask the mounted file system then.
    """

    fsuuid: str
    """Lower case, with dashes."""
    label: str
    block_size: int
    data_blocks: int
    free_blocks: int
    """As of the last time that the super block was written."""

    @property
    def total(self) -> int:
        """Bytes of the data section: what DirectPV calls a drive's total capacity."""
        return self.data_blocks * self.block_size

    @property
    def free(self) -> int:
        """Free bytes of the data section."""
        return self.free_blocks * self.block_size


def parse_superblock(data: bytes) -> Superblock | None:
    """Read the start of a device.

    Args:
        data: At least the first :data:`LENGTH` bytes.

    Returns:
        None if this is no XFS, or not a sane one.
    """
    if len(data) < LENGTH:
        return None
    magic, block_size, data_blocks = _HEAD.unpack_from(data)
    if magic != MAGIC or block_size not in _BLOCK_SIZES or not data_blocks:
        return None
    return Superblock(
        fsuuid=str(uuid.UUID(bytes=data[_UUID_AT])),
        label=data[_LABEL_AT].split(b"\0", 1)[0].decode(errors="replace"),
        block_size=block_size,
        data_blocks=data_blocks,
        free_blocks=_FREE.unpack_from(data, _FREE_AT)[0],
    )
