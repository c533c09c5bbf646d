"""System calls that Python does not offer, by ctypes: each raises OSError with its errno and releases the GIL.

Numbers of system calls are those of the unified table (Linux 5.1 and newer calls have one number on x86_64,
aarch64, riscv64, ppc64le and s390x alike). Source: linux/mount.h, linux/quota.h, linux/fs.h, man pages of section 2.
"""

import ctypes
import errno
import os
import struct
from typing import Final, NamedTuple

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_NOATIME: Final = 1024
MS_NODIRATIME: Final = 2048
MS_BIND: Final = 4096
MS_REC: Final = 1 << 14
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19
MS_RELATIME: Final = 1 << 21
MS_STRICTATIME: Final = 1 << 24

MNT_DETACH: Final = 2
UMOUNT_NOFOLLOW: Final = 8

_AT_FDCWD: Final = -100
_AT_SYMLINK_NOFOLLOW: Final = 0x100
_AT_NO_AUTOMOUNT: Final = 0x800
_AT_EMPTY_PATH: Final = 0x1000
_OPEN_TREE_CLONE: Final = 1
_OPEN_TREE_CLOEXEC: Final = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH: Final = 0x4
_MOVE_MOUNT_T_EMPTY_PATH: Final = 0x40
_MOVE_MOUNT_BENEATH: Final = 0x200
_ATTR_ATIME_MASK: Final = 0x70
_AT_STATX_DONT_SYNC: Final = 0x4000
_STATX_INO: Final = 0x100
_STATX_ATTR_MOUNT_ROOT: Final = 0x2000
_STATX: Final = struct.Struct("=8xQ16xQ16xQ72xII112x")
"""``struct statx``: attributes, inode, mask of the attributes that this kernel knows, major and minor of the device."""
_CLONE_NEWNS: Final = 0x20000
_SYS_PIVOT_ROOT: Final = {"x86_64": 155, "ppc64le": 203, "s390x": 217}.get(os.uname().machine, 41)
"""41 in the generic table: aarch64, riscv64, loongarch64. Source: asm/unistd.h."""
_SYS_OPEN_TREE: Final = 428
_SYS_MOVE_MOUNT: Final = 429
_SYS_MOUNT_SETATTR: Final = 442
_SYS_QUOTACTL_FD: Final = 443

_TO_ATTR: Final = {
    MS_RDONLY: 0x1,
    MS_NOSUID: 0x2,
    MS_NODEV: 0x4,
    MS_NOEXEC: 0x8,
    MS_NOATIME: 0x10,
    MS_STRICTATIME: 0x20,
    MS_NODIRATIME: 0x80,
}
"""MS_* flag to MOUNT_ATTR_*; MS_RELATIME is the empty value of the atime field."""
_ATIME_FLAGS: Final = MS_NOATIME | MS_RELATIME | MS_STRICTATIME


def _fail(call: str, path: str = "") -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}", path or None)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def mount(source: str | None, target: str, fs_type: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    arguments = (_bytes(source), _bytes(target), _bytes(fs_type), ctypes.c_ulong(flags), _bytes(data))
    if _libc.mount(*arguments) != 0:
        raise _fail("mount", target)


def umount(target: str, flags: int = 0) -> None:
    """umount2(2); never follows a symbolic link in the last component."""
    if _libc.umount2(_bytes(target), flags | UMOUNT_NOFOLLOW) != 0:
        raise _fail("umount", target)


def unshare_mounts() -> None:
    """unshare(2): a mount namespace of our own, for this process and its children."""
    if _libc.unshare(_CLONE_NEWNS) != 0:
        raise _fail("unshare")


def pivot_root(new: str, old: str) -> None:
    """pivot_root(2) of this mount namespace; it has no function in the C library."""
    if _libc.syscall(_SYS_PIVOT_ROOT, _bytes(new), _bytes(old)) != 0:
        raise _fail("pivot_root", new)


def clone_mount(directory: int) -> int:
    """Return a descriptor of a new, still unattached bind mount of ``directory`` (a descriptor, ``O_PATH`` will do)."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_EMPTY_PATH
    tree = _libc.syscall(_SYS_OPEN_TREE, directory, b"", flags)
    if tree < 0:
        raise _fail("open_tree")
    return int(tree)


def set_mount_flags(tree: int, flags: int) -> None:
    """Add MS_* ``flags`` to the mount that ``tree`` refers to, and make it private (mount_namespaces(7)).

    An atime flag replaces the one it has.
    """
    added = sum(attr for flag, attr in _TO_ATTR.items() if flags & flag)
    cleared = _ATTR_ATIME_MASK if flags & _ATIME_FLAGS else 0
    attr = struct.pack("=QQQQ", added, cleared, MS_PRIVATE, 0)
    if _libc.syscall(_SYS_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, attr, ctypes.c_size_t(len(attr))) != 0:
        raise _fail("mount_setattr")


def attach_mount(tree: int, target: int, *, beneath: bool = False) -> None:
    """Attach the mount ``tree`` on the directory ``target``, both descriptors.

    Args:
        tree: The mount.
        target: The directory; the root of a mount if ``beneath``.
        beneath: Whether ``tree`` goes below the mount whose root ``target`` is, not on it; EINVAL before Linux 6.5.
    """
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH | (_MOVE_MOUNT_BENEATH if beneath else 0)
    if _libc.syscall(_SYS_MOVE_MOUNT, tree, b"", target, b"", flags) != 0:
        raise _fail("move_mount")


class PathStat(NamedTuple):
    """What statx(2) says about a path."""

    is_mount_root: bool
    device: str
    """``major:minor`` of the file system."""
    inode: int


def statx(path: str) -> PathStat:
    """statx(2) of ``path``; a link in the last component is not followed. Of the root of a mount it reads no disk.

    Raises:
        OSError: What the kernel said; ENOSYS before Linux 5.8, which does not tell whether a mount begins there.
    """
    buffer = ctypes.create_string_buffer(_STATX.size)
    flags = _AT_SYMLINK_NOFOLLOW | _AT_NO_AUTOMOUNT
    if _libc.statx(_AT_FDCWD, _bytes(path), flags, ctypes.c_uint(_STATX_INO), buffer) != 0:
        raise _fail("statx", path)
    attributes, inode, known, major, minor = _STATX.unpack(buffer.raw)
    if not known & _STATX_ATTR_MOUNT_ROOT:
        raise OSError(errno.ENOSYS, "statx: this kernel does not tell mount points", path)
    return PathStat(bool(attributes & _STATX_ATTR_MOUNT_ROOT), f"{major}:{minor}", inode)


def device_of(link: str) -> str:
    """Return ``major:minor`` of the file system of what ``link`` leads to, without asking a server or a disk for it.

    Raises:
        OSError: What the kernel said.
    """
    buffer = ctypes.create_string_buffer(_STATX.size)
    if _libc.statx(_AT_FDCWD, _bytes(link), _AT_STATX_DONT_SYNC, ctypes.c_uint(_STATX_INO), buffer) != 0:
        raise _fail("statx", link)
    _, _, _, major, minor = _STATX.unpack(buffer.raw)
    return f"{major}:{minor}"


def syncfs(directory: int) -> None:
    """syncfs(2): everything of the file system is on disk."""
    if _libc.syncfs(directory) != 0:
        raise _fail("syncfs")


def quotactl(command: int, directory: int, device: str, number: int, buffer: bytearray) -> None:
    """Call quotactl for the file system that the descriptor ``directory`` lies on.

    quotactl_fd(2) if the kernel has it (5.14). Otherwise quotactl(2) on ``device``, but only if that name
    still belongs to the mounted file system: kernel names are given anew after a drive was pulled.

    Raises:
        OSError: What the kernel said; ESTALE if ``device`` is another one by now.
    """
    data = (ctypes.c_char * len(buffer)).from_buffer(buffer)
    identity = ctypes.c_uint(number)
    if _libc.syscall(_SYS_QUOTACTL_FD, directory, ctypes.c_uint(command), identity, data) == 0:
        return
    if ctypes.get_errno() != errno.ENOSYS:
        raise _fail("quotactl_fd")
    try:
        same = os.stat(device).st_rdev == os.fstat(directory).st_dev
    except FileNotFoundError:
        same = False  # not ENOENT, which would say that the project has no quota yet
    if not same:
        raise OSError(errno.ESTALE, "quotactl: the name belongs to another device now, or to none", device)
    if _libc.quotactl(ctypes.c_int(command & 0xFFFFFFFF), _bytes(device), ctypes.c_int(number), data) != 0:
        raise _fail("quotactl", device)
