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
_FIELDS: Final = 1 | 2 | 4 | 8
"""Inodes, soft and hard; blocks, soft and hard."""

FS_IOC_FSGETXATTR: Final = 0x801C581F
FS_IOC_FSSETXATTR: Final = 0x401C5820
PROJECT_INHERIT: Final = 0x200
IMMUTABLE: Final = 0x8
APPEND_ONLY: Final = 0x10
_FSXATTR: Final = struct.Struct("=IIIII8x")
FSXATTR_SIZE: Final = _FSXATTR.size


class Limits(NamedTuple):
    """What one project may take; 0: no limit."""

    size: int
    """Bytes."""
    inodes: int


class Usage(NamedTuple):
    """What one project uses, and its limits; bytes, except ``inodes`` and ``inode_limit``."""

    limit: int
    """0: none."""
    used: int
    inodes: int
    inode_limit: int = 0
    """0: none."""

    @property
    def limits(self) -> Limits:
        """Its limits, as they can be set."""
        return Limits(self.limit, self.inode_limit)


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


def rounded(limits: Limits) -> Limits:
    """Return limits as the kernel keeps them."""
    return limits._replace(size=blocks_for(limits.size) * BASIC_BLOCK)


def pack_limits(project: int, limits: Limits) -> bytearray:
    """Return the argument of Q_XSETQLIM that limits ``project``, soft and hard alike.

    Soft equals hard, because statfs shows the soft limits as the size of the file system.
    """
    blocks = blocks_for(limits.size)
    head = (_VERSION, _PROJECT_FLAG, _FIELDS, project, blocks, blocks, limits.inodes, limits.inodes)
    return bytearray(_DISK_QUOTA.pack(*head, *([0] * 16)))


def unpack_usage(buffer: bytes | bytearray) -> Usage:
    """Read what Q_XGETQUOTA filled in."""
    fields = _DISK_QUOTA.unpack(buffer)
    hard, inode_limit, used, inodes = fields[4], fields[6], fields[8], fields[9]
    return Usage(hard * BASIC_BLOCK, used * BASIC_BLOCK, inodes, inode_limit)


def pack_attributes(attributes: FileAttributes) -> bytes:
    """Return the argument of FS_IOC_FSSETXATTR."""
    return _FSXATTR.pack(*attributes)


def unpack_attributes(buffer: bytes | bytearray) -> FileAttributes:
    """Read what FS_IOC_FSGETXATTR filled in."""
    return FileAttributes(*_FSXATTR.unpack(buffer))
