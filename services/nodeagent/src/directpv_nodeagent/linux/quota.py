"""XFS project quota on open directories: project ids by ioctl, limits by quotactl. Blocks: call it in an executor."""

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from directpv_nodeagent.linux import syscalls
from directpv_nodeagent.linux.core import quota
from directpv_nodeagent.linux.core.quota import FileAttributes, Limits, Usage

_NO_ENTRY: Final = frozenset({errno.ENOENT, errno.ESRCH})
"""The project has no quota entry yet."""
_XFS_PROC: Final = Path("/proc/fs/xfs")

NO_KERNEL_QUOTA: Final = (
    "this kernel has XFS without project quota (CONFIG_XFS_QUOTA is off), so volumes could not be limited; "
    "use a kernel that has it, or, on a machine for development only, start the agent with --quota=best-effort"
)


def kernel_lacks_quota() -> bool:
    """Tell whether XFS is in this kernel and was built without quota; False also while XFS is not loaded.

    Source: xfs_init_procfs() makes ``xqmstat`` under CONFIG_XFS_QUOTA only, ``stat`` always.
    """
    return (_XFS_PROC / "stat").exists() and not (_XFS_PROC / "xqmstat").exists()


def attributes(descriptor: int) -> FileAttributes:
    """Return the XFS attributes of an open file or directory (not ``O_PATH``)."""
    buffer = bytearray(quota.FSXATTR_SIZE)
    fcntl.ioctl(descriptor, quota.FS_IOC_FSGETXATTR, buffer)
    return quota.unpack_attributes(buffer)


def set_attributes(descriptor: int, value: FileAttributes) -> None:
    """Set them."""
    fcntl.ioctl(descriptor, quota.FS_IOC_FSSETXATTR, quota.pack_attributes(value))


def ensure_project(descriptor: int, project: int) -> bool:
    """Make a directory, and all that will be made in it, count towards ``project``; tell whether that was new."""
    found = attributes(descriptor)
    if found.belongs_to(project):
        return False
    set_attributes(descriptor, found.in_project(project))
    return True


def usage(descriptor: int, device: str, project: int) -> Usage:
    """Return use and limit of ``project``; all zero if nothing was ever written or limited.

    Args:
        descriptor: Any directory of the drive.
        device: Path of its device, for kernels before 5.14.
        project: The project's id.
    """
    buffer = bytearray(quota.DISK_QUOTA_SIZE)
    try:
        syscalls.quotactl(quota.Q_XGETQUOTA, descriptor, device, project, buffer)
    except OSError as error:
        if error.errno in _NO_ENTRY:
            return Usage(0, 0, 0)
        raise
    return quota.unpack_usage(buffer)


def set_limits(descriptor: int, device: str, project: int, limits: Limits) -> None:
    """Limit ``project``; its size must be 1 byte or more, since 0 would be no limit."""
    if limits.size < 1:
        raise ValueError("a limit of 0 would be no limit")
    syscalls.quotactl(quota.Q_XSETQLIM, descriptor, device, project, quota.pack_limits(project, limits))


def lift_limit(descriptor: int, device: str, project: int) -> None:
    """Take the limits of ``project`` away."""
    syscalls.quotactl(quota.Q_XSETQLIM, descriptor, device, project, quota.pack_limits(project, Limits(0, 0)))


def tag_tree(directory: int, project: int) -> None:
    """Make a directory and all that it holds count towards ``project``; safe to repeat after a crash.

    The directory itself comes last: once it is right, everything below it is. It must not come first, because XFS
    refuses to rename a file into a directory of another project (EXDEV), which would break whoever uses the volume.
    Links, sockets and device nodes have no data and are left alone. Takes as long as the tree is large.
    """
    _tag_content(directory, project, os.fstat(directory).st_dev)
    ensure_project(directory, project)


def _tag_content(top: int, project: int, device: int) -> None:
    """Tag all below the directory ``top``, however deep: one descriptor, the way back is ``..``."""
    folders = _tag_files(top, project)
    current = os.dup(top)
    above: list[tuple[int, list[str]]] = []
    """Inode of each directory on the way down, and which folders in it are left to do."""
    try:
        while folders or above:
            if folders:
                below = _opened_folder(folders.pop(), current, device)
                if below is None:
                    continue
                above.append((os.fstat(current).st_ino, folders))
                os.close(current)
                current = below
                folders = _tag_files(current, project)
            else:
                ensure_project(current, project)
                inode, folders = above.pop()
                parent = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=current)
                os.close(current)
                current = parent
                if os.fstat(current).st_ino != inode:
                    raise OSError(errno.ESTALE, "a directory was moved while its volume was being tagged; repeat")
    finally:
        os.close(current)


def _tag_files(directory: int, project: int) -> list[str]:
    """Tag the files of a directory; return the folders in it."""
    folders = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    _tag_file(entry.name, directory, project)
    return folders


def _tag_file(name: str, parent: int, project: int) -> None:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    try:
        if os.fstat(descriptor).st_dev == os.fstat(parent).st_dev:
            found = attributes(descriptor)
            if found.project != project:
                set_attributes(descriptor, found._replace(project=project))
    finally:
        os.close(descriptor)


def _opened_folder(name: str, parent: int, device: int) -> int | None:
    """Open a folder; None if it is gone, or on another file system."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        return None
    if os.fstat(descriptor).st_dev == device:
        return descriptor
    os.close(descriptor)
    return None
