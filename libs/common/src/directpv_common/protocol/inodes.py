"""How many files and directories a volume may have, by the parameter of its storage class.

XFS takes inodes from the whole file system and charges no project for their bytes: a volume of 20 MiB that holds empty
files alone can take 300 MiB of its drive. So each volume has a number of inodes too, in proportion to its size.
"""

from collections.abc import Mapping
from typing import Final

from directpv_common.protocol.errors import InvalidRequest
from directpv_common.protocol.names import BYTES_PER_INODE
from directpv_common.protocol.units import KIB, MIB

DEFAULT: Final = 16 * KIB
"""Bytes of a volume per inode; what mke2fs takes, too. Each drive sets the bytes of so many inodes aside."""
LEAST: Final = 1 * KIB
MOST: Final = 64 * MIB
INODE: Final = 512
"""Bytes of an inode on the drive."""
_BLOCK: Final = 4 * KIB
CHUNK: Final = 64
"""XFS makes so many inodes at a time."""


def bytes_per_inode(parameters: Mapping[str, str]) -> int:
    """Return how many bytes of its size a volume has per inode.

    Raises:
        InvalidRequest: The parameter is no number of bytes from 1 KiB to 64 MiB.
    """
    value = parameters.get(BYTES_PER_INODE)
    if value is None:
        return DEFAULT
    number = int(value) if value.isascii() and value.isdigit() and len(value) <= len(str(MOST)) else 0
    if not LEAST <= number <= MOST:
        raise InvalidRequest(
            f"parameters[{BYTES_PER_INODE}]: {value[:40]!a} is not possible; write a number of bytes from {LEAST} to "
            f"{MOST}, or leave it out for {DEFAULT}",
            field=f"parameters[{BYTES_PER_INODE}]",
        )
    return number


def inodes_of(capacity: int, per: int) -> int:
    """Return how many inodes a volume of ``capacity`` bytes has at ``per`` bytes each: whole chunks, one at least."""
    return max(1, capacity // per // CHUNK) * CHUNK


def set_aside(free: int) -> int:
    """Return how many of ``free`` bytes must not be promised, so that volumes of the rest find their inodes.

    Whole blocks, as what is free.
    """
    return -(-free // ((DEFAULT // INODE + 1) * _BLOCK)) * _BLOCK
