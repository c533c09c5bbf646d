"""Where to look on a device that shows no signature, to tell one that is blank from one whose data nobody recognises.

Source: XFS on-disk format (allocation groups begin with a copy of the super block); mkfs.xfs(8) for their usual number.
"""

from typing import Final

from directpv_common.protocol.units import MIB, TIB

BLOCK: Final = 4096
"""Bytes of one sample: suits direct I/O on every sector size in use, and the usual block of a file system."""
ENDS: Final = MIB
"""Bytes that are read whole at either end: where partition tables, labels, logs and headers are."""
_EVENLY: Final = 64
_MAX_GROUPS: Final = 64
_MAX_GROUP: Final = TIB


def backup_offsets(total: int) -> tuple[int, ...]:
    """Return where backup super blocks are likely, in bytes, for a file system of about ``total`` bytes.

    They stand at the start of every allocation group; mkfs.xfs makes four of equal size, or more on arrays, and none
    larger than 1 TiB. Groups stay as they are when the file system grows.
    """
    likely = {_MAX_GROUP, _MAX_GROUP - BLOCK}
    for groups in range(2, _MAX_GROUPS + 1):
        size = -(-(total // BLOCK) // groups) * BLOCK
        likely |= {size, size - BLOCK, size - size % (1024 * BLOCK)}
    return tuple(sorted(offset for offset in likely if 0 < offset <= min(total - BLOCK, _MAX_GROUP)))


def sample_offsets(size: int) -> tuple[int, ...]:
    """Return where else to read :data:`BLOCK` bytes each, evenly over a device of ``size`` bytes."""
    evenly = {size * part // (_EVENLY + 1) // BLOCK * BLOCK for part in range(1, _EVENLY + 1)}
    return tuple(sorted(offset for offset in evenly if ENDS <= offset <= size - ENDS - BLOCK))
