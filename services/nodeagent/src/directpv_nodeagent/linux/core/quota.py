"""XFS project quota: numbers and structures, without the calls.

Source: linux/dqblk_xfs.h (struct fs_disk_quota), linux/fs.h (struct fsxattr), quotactl(2).
"""

import struct
from typing import Final, NamedTuple

BASIC_BLOCK: Final = 512
"""Bytes; the unit of XFS quota."""
_PRJQUOTA: Final = 2
Q_XGETQUOTA: Final = (0x5803 << 8) | _PRJQUOTA
Q_XSETQLIM: Final = (0x5804 << 8) | _PRJQUOTA

_DISK_QUOTA: Final = struct.Struct("=bbHI6QiiHHbbbb3QiHh8x")
DISK_QUOTA_SIZE: Final = _DISK_QUOTA.size
_VERSION: Final = 1
_PROJECT_FLAG: Final = 2
_FIELDS_SOFT_AND_HARD: Final = 4 | 8

FS_IOC_FSGETXATTR: Final = 0x801C581F
FS_IOC_FSSETXATTR: Final = 0x401C5820
PROJECT_INHERIT: Final = 0x200
IMMUTABLE: Final = 0x8
APPEND_ONLY: Final = 0x10
_FSXATTR: Final = struct.Struct("=IIIII8x")
FSXATTR_SIZE: Final = _FSXATTR.size


class Usage(NamedTuple):
    """What one project uses, and its limit; bytes, except ``inodes``."""

    limit: int
    """0: none."""
    used: int
    inodes: int


class FileAttributes(NamedTuple):
    """struct fsxattr of a file or directory."""

    flags: int
    extent_size: int
    extents: int
    project: int
    cow_extent_size: int

    def belongs_to(self, project: int) -> bool:
        """Tell whether a directory, and all that is made in it, counts towards ``project``."""
        return self.project == project and bool(self.flags & PROJECT_INHERIT)

    def in_project(self, project: int) -> "FileAttributes":
        """Return the same attributes, but counting towards ``project``."""
        return self._replace(project=project, flags=self.flags | PROJECT_INHERIT)


def blocks_for(size: int) -> int:
    """Return ``size`` bytes in basic blocks, rounded up.

    >>> blocks_for(513)
    2
    """
    return -(-size // BASIC_BLOCK)


def pack_limit(project: int, size: int) -> bytearray:
    """Return the argument of Q_XSETQLIM that limits ``project`` to ``size`` bytes, soft and hard alike; 0: no limit.

    Soft equals hard, because statfs shows the soft limit as the size of the file system.
    """
    blocks = blocks_for(size)
    head = (_VERSION, _PROJECT_FLAG, _FIELDS_SOFT_AND_HARD, project, blocks, blocks)
    return bytearray(_DISK_QUOTA.pack(*head, *([0] * 18)))


def unpack_usage(buffer: bytes | bytearray) -> Usage:
    """Read what Q_XGETQUOTA filled in."""
    fields = _DISK_QUOTA.unpack(buffer)
    hard, used, inodes = fields[4], fields[8], fields[9]
    return Usage(limit=hard * BASIC_BLOCK, used=used * BASIC_BLOCK, inodes=inodes)


def pack_attributes(attributes: FileAttributes) -> bytes:
    """Return the argument of FS_IOC_FSSETXATTR."""
    return _FSXATTR.pack(*attributes)


def unpack_attributes(buffer: bytes | bytearray) -> FileAttributes:
    """Read what FS_IOC_FSGETXATTR filled in."""
    return FileAttributes(*_FSXATTR.unpack(buffer))
