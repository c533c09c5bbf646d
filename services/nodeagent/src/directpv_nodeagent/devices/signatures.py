"""What a device itself shows: its super block and all signatures on it. Blocking; opens for reading only.

``wipefs --no-act`` rather than ``blkid -p``: both ask libblkid, but blkid gives up with "ambivalent" when there is
more than one signature, and names one at most; the second is what tells a RAID member from its content.
An open for reading does not make udev look at the device again.
"""

import contextlib
import errno
import json
import mmap
import os
import stat
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Final

from directpv_common.protocol.errors import DriveFault
from directpv_nodeagent.devices.core.samples import backup_offsets
from directpv_nodeagent.devices.core.superblock import LENGTH, Superblock, parse_superblock

_WIPEFS: Final = ("wipefs", "--no-act", "--json", "--")
_AT_ONCE: Final = threading.BoundedSemaphore(16)
"""Probing programs at once: a shelf of hundreds of new disks shall not start as many. A disk that hangs takes none,
since its super block is read before."""
_BLOCK: Final = 4096
"""Length and alignment that suit direct I/O on every sector size in use."""
HELD_SECONDS: Final = 3.0
"""How long a device may be held by somebody until it counts as in use."""
_HELD_PAUSE: Final = 0.05
ENVIRONMENT: Final = {"LC_ALL": "C", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


class DeviceHeld(DriveFault):
    """The kernel uses the device: a file system, RAID, LVM, swap or mapper, or another program holds it alone."""


@contextlib.contextmanager
def open_device(path: str, number: str, flags: int = 0) -> Iterator[int]:
    """Open a device for reading, and make sure that it is the one with ``number``; blocking.

    A file below ``/dev`` may be stale, or belong to another device by now.

    Args:
        path: The device's file.
        number: ``<major>:<minor>`` that it must have; empty if any will do.
        flags: More of ``os.O_*``.

    Raises:
        DriveFault: It cannot be opened, or is another device.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    except OSError as error:
        raise DriveFault(f"{path} cannot be opened: {error.strerror}") from error
    try:
        found = os.fstat(descriptor)
        actual = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
        if not stat.S_ISBLK(found.st_mode) or number not in ("", actual):
            raise DriveFault(f"{path} is not block device {number}: /dev does not show the devices of this machine")
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def open_alone(path: str, number: str = "", flags: int = 0) -> Iterator[int]:
    """Open a device so that no file system, RAID, LVM, swap or mapper can take it meanwhile; blocking.

    One that is held is tried again for a while: programs that are being started have copies of all our descriptors
    until they are executed, and containers have all that is mounted until they let go of it.

    Args:
        path: The device's file.
        number: ``<major>:<minor>`` that it must have; empty if any will do.
        flags: More of ``os.O_*``. Without: for reading, and closing it does not make udev look again.

    Raises:
        DeviceHeld: The kernel uses it, for longer than that.
        DriveFault: It cannot be opened, or is another device.
    """
    end = time.monotonic() + HELD_SECONDS
    with contextlib.ExitStack() as stack:
        while True:
            try:
                device = stack.enter_context(open_device(path, number, os.O_EXCL | flags))
                break
            except DriveFault as error:
                if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EBUSY:
                    raise
                if time.monotonic() > end:
                    raise DeviceHeld(f"{path} is in use by the kernel") from error
            time.sleep(_HELD_PAUSE)
        yield device


def probed(command: Sequence[str], descriptor: int, path: str, within: float) -> "subprocess.CompletedProcess[bytes]":
    """Run a program of util-linux on an open device, a bounded number of them at a time; whatever its exit status.

    Raises:
        DriveFault: The program is missing, or did not end, or begin, in time.
    """
    if not _AT_ONCE.acquire(timeout=within):
        raise DriveFault(f"{path}: {command[0]} could not begin within {within:g} s: too many devices at once")
    try:
        return subprocess.run(
            [*command, f"/proc/self/fd/{descriptor}"],
            pass_fds=(descriptor,),
            capture_output=True,
            timeout=within,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise DriveFault(f"{command[0]} cannot be started: {error.strerror}; is util-linux installed?") from error
    except subprocess.TimeoutExpired:
        raise DriveFault(f"{path}: {command[0]} did not end within {within:g} s") from None
    finally:
        _AT_ONCE.release()


def read_signatures(descriptor: int, path: str, within: float) -> tuple[str, ...]:
    """Return libblkid's names of all file system, RAID, LVM, encryption and partition table signatures, sorted.

    Args:
        descriptor: The device, open.
        path: Its name in error messages.
        within: Seconds until the probing program is killed.

    Raises:
        DriveFault: It cannot be read, the program is missing, or did not end in time.
    """
    done = probed(_WIPEFS, descriptor, path, within)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-200:]
        raise DriveFault(f"{path}: signatures cannot be read: {said or f'wipefs ended with {done.returncode}'}")
    return parse_signatures(done.stdout, path)


def parse_signatures(output: bytes, path: str) -> tuple[str, ...]:
    """Read what wipefs says as JSON; nothing at all means no signature.

    Raises:
        DriveFault: It is not what wipefs of util-linux 2.33 or newer says.
    """
    if not output.strip():
        return ()
    try:
        return tuple(sorted({str(found["type"]) for found in json.loads(output)["signatures"]}))
    except (ValueError, KeyError, TypeError) as error:
        raise DriveFault(f"{path}: signatures cannot be read: wipefs said {output[:200]!r}") from error


def read_superblock(descriptor: int, path: str) -> Superblock | None:
    """Return the XFS super block of the device that is open as ``descriptor``; None if it has none.

    Raises:
        DriveFault: The device cannot be read.
    """
    try:
        return parse_superblock(_read_start(descriptor))
    except OSError as error:
        raise DriveFault(f"{path} cannot be read: {error.strerror}") from error


def read_backups(path: str, number: str, total: int) -> tuple[Superblock, ...]:
    """Return the backup super blocks that are found where they are likely; blocking.

    Args:
        path: The device's file.
        number: ``<major>:<minor>`` that it must have.
        total: Bytes of the file system.

    Raises:
        DriveFault: The device cannot be opened or read.
    """
    found = []
    with open_device(path, number) as device:
        for offset in backup_offsets(total):
            try:
                found.append(parse_superblock(os.pread(device, LENGTH, offset)))
            except OSError as error:
                raise DriveFault(f"{path} cannot be read at {offset}: {error.strerror}") from error
    return tuple(block for block in found if block is not None)


def _read_start(descriptor: int) -> bytes:
    """Read past the page cache if possible: it may hold a super block from before a growfs or a fault.

    Only a device that knows no direct I/O is read through the cache; one whose reads fail has failed.
    """
    try:
        direct = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return _read(descriptor)
    try:
        return _read(direct)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return _read(descriptor)
    finally:
        os.close(direct)


def _read(descriptor: int) -> bytes:
    with mmap.mmap(-1, _BLOCK) as aligned:
        count = os.preadv(descriptor, [aligned], 0)
        return aligned[: min(count, LENGTH)]
