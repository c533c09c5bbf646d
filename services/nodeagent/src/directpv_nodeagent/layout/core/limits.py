"""What a volume's project may take: bytes and inodes. Decides only.

The bytes of inodes are charged to no project. A drive sets aside what volumes at the default density need; a class that
asks for more inodes pays for them with bytes of its own volume, so that no neighbour does.
"""

from typing import Final

from directpv_common.protocol import inodes
from directpv_common.protocol.errors import InvalidRequest
from directpv_common.protocol.messages import VolumeRecord
from directpv_nodeagent.linux.core.quota import Limits, Usage

_NEW: Final = inodes.CHUNK
"""A volume without limit and with no more inodes than that was just made."""


def wanted(record: VolumeRecord, found: Usage) -> Limits:
    """Return the limits of a volume's project; that of inodes is never lower than it was, nor than what is in use.

    A volume that was filled before there was such a limit gets one that lets it be filled as it has been so far, and
    keeps it when it grows.

    Args:
        record: The volume.
        found: Limits and use of its project now.
    """
    per = _density(record)
    size, count = _size(record.capacity, per), inodes.inodes_of(record.capacity, per)
    if found.inodes > max(found.inode_limit, _NEW):
        count = max(count, _in_proportion(record.capacity, found))
    elif 0 < found.limit < size and found.inode_limit > inodes.inodes_of(found.limit, per):
        count = max(
            count, found.inode_limit * size // found.limit
        )  # it has more than others, and keeps that as it grows
    return Limits(size, max(count, found.inode_limit, found.inodes))


def _density(record: VolumeRecord) -> int:
    try:
        return inodes.bytes_per_inode(record.parameters)
    except InvalidRequest:  # gateway and controller refuse it; whoever wrote it into the record did not ask them
        return inodes.DEFAULT


def _size(capacity: int, per: int) -> int:
    more = inodes.inodes_of(capacity, per) - inodes.inodes_of(capacity, inodes.DEFAULT)
    return capacity - max(0, more) * inodes.INODE


def _in_proportion(capacity: int, found: Usage) -> int:
    """Return how many inodes the volume has when it is full, if its files stay as they are."""
    full = found.inodes * capacity // max(1, found.used)
    return min(full, inodes.inodes_of(capacity, inodes.LEAST))
