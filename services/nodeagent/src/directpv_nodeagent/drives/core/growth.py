"""How large a drive's file system is, how large it can become, and what volumes may have of it. Decides only.

Source: xfs(5), ioctl_xfs_fsgeometry(2); growfs of Linux 4.19 to 6.18: it fills the last allocation group (AG) up, then
adds AGs of the same size; mkfs.xfs makes no AG smaller than 16 MiB.
"""

import struct
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from directpv_common.protocol.errors import FailedPrecondition
from directpv_common.protocol.messages import DriveRecord
from directpv_common.protocol.units import KIB, MIB, format_bytes

GEOMETRY_REQUEST: Final = 0x80705864
"""XFS_IOC_FSGEOMETRY_V1: every kernel has it."""
GEOMETRY_SIZE: Final = 112
GROW_REQUEST: Final = 0x4010586E
"""XFS_IOC_FSGROWFSDATA."""
_GEOMETRY: Final = struct.Struct("=8I4Q")
_GROW: Final = struct.Struct("=QI4x")

LEAST: Final = 16 * MIB
"""Smaller gains are left alone: not worth a change, and a new AG must not be smaller."""
RETRY_SECONDS: Final = 60.0
"""A growth that failed, or gained nothing, is tried again after so long, or when the device's size changes again."""
_POOL_BLOCKS: Final = 8192
_POOL_SHARE: Final = 20
"""XFS keeps a twentieth of its blocks, 8,192 at most, to itself, so that it can always make room."""
_HEADERS: Final = 128 * KIB
"""Super block, free lists and roots of one AG; twice what was measured."""
_MOST_SHARE: Final = 16
_UNKNOWN_SHARE: Final = 64
"""Overhead of new space as a part of it: at most, and where the old one's is not known. One part in 150 was measured
without reverse mapping, which takes about another one in 100."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """A mounted XFS; sizes in blocks."""

    block_size: int
    """Bytes."""
    ag_blocks: int
    ag_count: int
    log_blocks: int
    """0 if the log is on another device."""
    inode_percent: int
    data_blocks: int

    @property
    def total(self) -> int:
        """Bytes of the data section: what DirectPV calls a drive's total capacity."""
        return self.data_blocks * self.block_size

    @property
    def log(self) -> int:
        """Bytes of the log."""
        return self.log_blocks * self.block_size


def unpack_geometry(buffer: bytes | bytearray) -> Geometry:
    """Read what XFS_IOC_FSGEOMETRY_V1 filled in."""
    block, _, ag_blocks, ag_count, log, _, _, percent, data, _, _, log_start = _GEOMETRY.unpack_from(buffer)
    return Geometry(block, ag_blocks, ag_count, log if log_start else 0, percent, data)


def pack_growth(geometry: Geometry, blocks: int) -> bytes:
    """Return the argument of XFS_IOC_FSGROWFSDATA that makes the file system ``blocks`` large."""
    return _GROW.pack(blocks, geometry.inode_percent)


def target(geometry: Geometry, size: int) -> int:
    """Return how many blocks the file system shall have on a device of ``size`` bytes; as many as now if not worth it.

    Never less than now: nothing here shrinks.
    """
    blocks = size // geometry.block_size
    last = blocks % geometry.ag_blocks
    if last * geometry.block_size < LEAST:
        blocks -= last
    gain = (blocks - geometry.data_blocks) * geometry.block_size
    return blocks if gain >= LEAST else geometry.data_blocks


def worth_a_look(record: DriveRecord, size: int) -> bool:
    """Tell whether a device of ``size`` bytes has room that the drive's record does not know of."""
    return size - record.total >= LEAST


def resized(record: DriveRecord, geometry: Geometry) -> DriveRecord:
    """Return the record with the size that the mounted file system has, whoever changed it.

    New space has an overhead as large, in proportion, as the old one's, without what there is only once (log, reserve),
    so that what is promised to volumes exists. Safe to repeat, also after a crash between growing and recording.
    """
    more = geometry.total - record.total
    if more <= 0:
        return replace(record, total=geometry.total, overhead=min(record.overhead, geometry.total))
    groups = -(-more // (geometry.ag_blocks * geometry.block_size))
    pool = _pool(geometry.total, geometry.block_size) - _pool(record.total, geometry.block_size)
    extra = _share(record, geometry, more) + groups * _HEADERS + pool
    overhead = max(record.overhead, geometry.log) + extra
    return replace(record, total=geometry.total, overhead=min(overhead, geometry.total))


def _share(record: DriveRecord, geometry: Geometry, more: int) -> int:
    """Return the overhead in proportion to ``more`` bytes."""
    once = geometry.log + _pool(record.total, geometry.block_size)
    if record.overhead <= once or record.total <= once:
        return more // _UNKNOWN_SHARE
    return min(-(-more * (record.overhead - once) // record.total), more // _MOST_SHARE)


def _pool(total: int, block_size: int) -> int:
    return min(total // _POOL_SHARE, _POOL_BLOCKS * block_size)


@dataclass(slots=True)
class _Attempt:
    size: int
    at: float
    failed: bool = False


class Attempts:
    """When growing was tried, per drive: one that fails is not tried at every scan, and told of once.

    Times are seconds of a clock that only goes forward.
    """

    def __init__(self) -> None:
        self._last: dict[str, _Attempt] = {}

    def is_due(self, fsuuid: str, size: int, now: float) -> bool:
        """Tell whether to try (again): the device's size is new, or enough time has passed."""
        last = self._last.get(fsuuid)
        return last is None or last.size != size or now - last.at >= RETRY_SECONDS

    def begin(self, fsuuid: str, size: int, now: float) -> None:
        """Note that it is tried."""
        last = self._last.get(fsuuid)
        self._last[fsuuid] = _Attempt(size, now, failed=last is not None and last.size == size and last.failed)

    def failed(self, fsuuid: str) -> bool:
        """Note that it failed; tell whether that is news for this size."""
        last = self._last[fsuuid]
        news, last.failed = not last.failed, True
        return news


def check_fits(name: str, total: int, size: int) -> None:
    """Refuse a file system of ``total`` bytes on a device ``name`` of only ``size`` bytes.

    Raises:
        FailedPrecondition: Names both sizes. A size of 0 is none that is known.
    """
    if 0 < size < total:
        raise FailedPrecondition(
            f"device {name} has {format_bytes(size)} ({size} bytes), less than the {format_bytes(total)} ({total} "
            "bytes) of its file system: part of the data is out of reach. Enlarge the device again to at least that; "
            "do not repair the file system, that would drop what is out of reach"
        )
