"""Mounts drives: as upstream does, but never without looking whose they are. Blocks: call it in an executor."""

import contextlib
import errno
import fcntl
import functools
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from directpv_nodeagent.drives.core import growth
from directpv_nodeagent.drives.core.growth import Geometry
from directpv_nodeagent.drives.filesystem.twins import live_twin
from directpv_nodeagent.layout.core.layout import MNT_DIR, PROBE_DIR, TMP_DIR
from directpv_nodeagent.linux import kernel_log, mounts, syscalls
from directpv_nodeagent.linux.core.mountinfo import MountTable
from directpv_nodeagent.linux.quota import NO_KERNEL_QUOTA, kernel_lacks_quota

log = logging.getLogger(__name__)

_XFS: Final = "xfs"
_QUOTA: Final = "prjquota"
_QUOTA_SHOWN: Final = frozenset({"prjquota", "pquota"})
_SYSFS: Final = Path("/sys/fs/xfs")
_ERRORS: Final = ("EIO", "ENOSPC", "default")


def prepare_root(root: str) -> None:
    """Make the agent's directories, and take away what a killed agent left mounted for inspection.

    Raises:
        OSError: The root directory cannot be used.
    """
    for name in ("", MNT_DIR, PROBE_DIR):
        os.makedirs(os.path.join(root, name), mode=0o755, exist_ok=True)
    for left in mounts.own_mounts().below(f"{root}/{PROBE_DIR}"):
        mounts.unmount(left.path)
    for name in os.listdir(f"{root}/{PROBE_DIR}"):
        with contextlib.suppress(OSError):
            os.rmdir(f"{root}/{PROBE_DIR}/{name}")


def mount_stand_in(root: str) -> str:
    """Mount the empty read-only file system that suspended volumes show, and return its ``major:minor``.

    Empty if that failed: suspended volumes cannot be published then.
    """
    path = f"{root}/{TMP_DIR}"
    try:
        os.makedirs(path, mode=0o755, exist_ok=True)
        top = mounts.own_mounts().at(path)
        if top is None or top.fs_type != "tmpfs":
            syscalls.mount("tmpfs", path, "tmpfs", syscalls.MS_RDONLY, "size=1")
        number = os.stat(path).st_dev
    except OSError as error:
        log.warning("stand-in for suspended volumes cannot be mounted", extra={"path": path, "error": str(error)})
        return ""
    return f"{os.major(number)}:{os.minor(number)}"


@contextlib.contextmanager
def inspected(device: str, fsuuid: str, root: str, *, recover: bool) -> Iterator[str]:
    """Show a device's file system, read-only, and take it away again.

    Args:
        device: Path of the device.
        fsuuid: Its file system.
        root: The agent's directory.
        recover: Whether the log is replayed first. If not, nothing at all is written to the device, so looking at
            another node's drive does it no harm; what was written just before a power failure may not be seen.
            If so, quota is in force as well: without, XFS notes that it was not, and the next mount counts every file.

    Raises:
        OSError: It cannot be mounted.
    """
    path = f"{root}/{PROBE_DIR}/{fsuuid}"
    os.makedirs(path, mode=0o700, exist_ok=True)
    try:
        quota = () if kernel_lacks_quota() else (_QUOTA,)
        options = quota if recover else ("norecovery",)
        _mount(device, path, syscalls.MS_RDONLY | syscalls.MS_NOATIME, options, fsuuid)
        try:
            yield path
        finally:
            mounts.unmount(path)
    finally:
        with contextlib.suppress(OSError):
            os.rmdir(path)


@contextlib.contextmanager
def changed(device: str, fsuuid: str, root: str) -> Iterator[str]:
    """Show a device's file system where nobody else looks, so that it can be written to, and take it away again.

    An agent that is killed meanwhile takes it away when it starts (:func:`prepare_root`). Args as of :func:`inspected`.

    Raises:
        OSError: It cannot be mounted.
    """
    path = f"{root}/{PROBE_DIR}/{fsuuid}"
    os.makedirs(path, mode=0o700, exist_ok=True)
    try:
        _mount(device, path, syscalls.MS_NOATIME, () if kernel_lacks_quota() else (_QUOTA,), fsuuid)
        try:
            yield path
        finally:
            mounts.unmount(path)
    finally:
        with contextlib.suppress(OSError):
            os.rmdir(path)


def mount_drive(device: str, path: str, fsuuid: str, *, quota_required: bool) -> None:
    """Mount a drive with project quota.

    Raises:
        QuotaMissing: The kernel has no project quota, and ``quota_required``.
        OSError: What the kernel said.
    """
    os.makedirs(path, mode=0o755, exist_ok=True)
    lacking = kernel_lacks_quota()
    if lacking and quota_required:
        raise QuotaMissing(NO_KERNEL_QUOTA)
    _mount(device, path, syscalls.MS_NOATIME, () if lacking else (_QUOTA,), fsuuid)


def seclude(path: str, look: Callable[[], MountTable] | None = None) -> MountTable:
    """Keep what others mount on volumes away from the drive itself, which is mounted at ``path``.

    A pod with ``mountPropagation: Bidirectional`` mounts on its volume; mounts that earlier versions made, and those of
    kernels before 5.12, hand it on to the drive's own mount. That is made private, and what has come stays away: only
    here, so that the pod keeps what it has.

    Args:
        path: The drive's place.
        look: Reads the mount table, or that part of it that the caller wants; what is below the place, at least.

    Returns:
        What is mounted then.
    """
    look = look or functools.partial(mounts.own_mounts, path)
    try:
        # What is nested in what has come, too: else it would go from the pod's own mount as well.
        syscalls.mount(None, path, None, syscalls.MS_PRIVATE | syscalls.MS_REC)
    except OSError as error:
        log.warning("mount not made private", extra={"path": path, "error": str(error)})
    table = look()
    found = table.below(path)
    for foreign in reversed(found):
        with contextlib.suppress(OSError):  # it lay in one that went before
            mounts.lift(foreign)
    return look() if found else table


def _mount(device: str, path: str, flags: int, options: tuple[str, ...], fsuuid: str) -> None:
    """Mount an XFS; beside its own dead mount, if the device that it was mounted from is gone."""
    with kernel_log.heard(f"XFS ({os.path.basename(device)})") as said:
        try:
            syscalls.mount(device, path, _XFS, flags, ",".join(options) or None)
        except OSError as error:
            if error.errno != errno.EINVAL or live_twin(fsuuid, device):
                raise MountRefused(error, said()) from error
            _mount_beside(device, path, flags, options, fsuuid, said)


def _mount_beside(
    device: str, path: str, flags: int, options: tuple[str, ...], fsuuid: str, said: Callable[[], list[str]]
) -> None:
    try:
        syscalls.mount(device, path, _XFS, flags, ",".join((*options, "nouuid")))
    except OSError as error:
        raise MountRefused(error, said()) from error
    log.info("mounted beside its dead mount", extra={"device": device, "drive": fsuuid})


class MountRefused(OSError):
    """The kernel would not mount a file system; ``said`` is what it logged about it."""

    def __init__(self, error: OSError, said: list[str]) -> None:
        super().__init__(error.errno, error.strerror)
        self.said = said


class QuotaMissing(Exception):
    """The kernel cannot limit volumes."""


def has_quota(super_options: str) -> bool:
    """Tell from the mount table whether project quota is in force."""
    return not _QUOTA_SHOWN.isdisjoint(super_options.split(","))


def fail_fast(device: str) -> None:
    """Let the file system give up at the first metadata error rather than retry for ever; failures are logged.

    Args:
        device: Kernel name.
    """
    base = os.path.basename(os.path.realpath(f"/dev/{device}"))
    for kind in _ERRORS:
        try:
            (_SYSFS / base / "error/metadata" / kind / "max_retries").write_text("0")
        except OSError as error:
            log.warning("max_retries not set", extra={"device": device, "class": kind, "error": str(error)})


def geometry_of(descriptor: int) -> Geometry:
    """Return the geometry of the mounted XFS that an open directory lies on. The super block on disk lags behind it.

    Raises:
        OSError: It is no XFS, or has failed.
    """
    buffer = bytearray(growth.GEOMETRY_SIZE)
    fcntl.ioctl(descriptor, growth.GEOMETRY_REQUEST, buffer)
    return growth.unpack_geometry(buffer)


def is_alive(path: str, device: str) -> bool:
    """Tell whether what is mounted at ``path`` can be read and its device ``major:minor`` still exists.

    XFS says nothing of any file or directory once it was shut down; asking it reads nothing from the disk.
    """
    if not os.path.exists(f"/sys/dev/block/{device}"):
        return False
    try:
        os.lstat(path)
        return True
    except OSError as error:
        if error.errno in DEAD:
            return False
        raise


def free_bytes(path: str) -> int:
    """Return the bytes that the file system mounted at ``path`` can still give.

    Raises:
        OSError: It cannot be asked.
    """
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize


DEAD: Final = frozenset({errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESHUTDOWN, errno.EUCLEAN, errno.ESTALE})
"""What operations on a failed drive say; EUCLEAN is XFS's "structure needs cleaning"."""
