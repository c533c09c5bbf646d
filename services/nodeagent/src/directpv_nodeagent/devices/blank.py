"""Whether a device that shows no signature is blank: read here and there, everything is zero. Blocking; reads only.

Libblkid knows labels, not data: applications that write to raw devices leave none, and one whose first sectors were
overwritten has lost its own.
"""

import errno
import hashlib
import mmap
import os
from typing import Final

from directpv_common.protocol.errors import DriveFault
from directpv_nodeagent.devices.core.samples import BLOCK, ENDS, backup_offsets, sample_offsets
from directpv_nodeagent.devices.core.superblock import LENGTH, Superblock, parse_superblock
from directpv_nodeagent.devices.signatures import probed

_BLKID: Final = ("blkid", "--probe", "--output", "export", "--")
_NOTHING: Final = 2
"""What blkid ends with when it finds nothing (blkid(8), exit status); 8 if what it finds contradicts itself."""


def is_recognised(descriptor: int, path: str, within: float) -> bool:
    """Tell whether ``blkid`` finds anything on a device, or cannot tell what: something else than wipefs' signatures.

    Raises:
        DriveFault: As :func:`.signatures.probed` says.
    """
    return probed(_BLKID, descriptor, path, within).returncode != _NOTHING


def read_samples(descriptor: int, path: str) -> tuple[bool, Superblock | None]:
    """Read both ends of a device and some hundred places between.

    Returns:
        Whether all of it is zero, and a backup super block of an XFS whose first one is gone, if there is one.

    Raises:
        DriveFault: The device cannot be read.
    """
    try:
        with _Reader(descriptor) as reader:
            size = os.lseek(descriptor, 0, os.SEEK_END)
            blank = True
            for offset in backup_offsets(size):
                block = reader.read(offset, BLOCK)
                if (remnant := parse_superblock(block[:LENGTH])) is not None:
                    return False, remnant
                blank = blank and not any(block)
            ends = (0, max(0, size - ENDS) // BLOCK * BLOCK)  # the last byte too, of a size that is no multiple
            blank = blank and not any(any(reader.read(offset, ENDS + BLOCK)) for offset in ends)
            return blank and not any(any(reader.read(offset, BLOCK)) for offset in sample_offsets(size)), None
    except OSError as error:
        raise DriveFault(f"{path} cannot be read: {error.strerror}") from error


def hash_samples(descriptor: int, path: str) -> str:
    """Return a hash of the places that :func:`read_samples` reads: it changes when somebody writes there.

    Raises:
        DriveFault: The device cannot be read.
    """
    try:
        with _Reader(descriptor) as reader:
            size, found = os.lseek(descriptor, 0, os.SEEK_END), hashlib.sha256()
            for offset in (0, max(0, size - ENDS) // BLOCK * BLOCK):
                found.update(reader.read(offset, ENDS + BLOCK))
            for offset in (*backup_offsets(size), *sample_offsets(size)):
                found.update(reader.read(offset, BLOCK))
            return found.hexdigest()
    except OSError as error:
        raise DriveFault(f"{path} cannot be read: {error.strerror}") from error


class _Reader:
    """Reads past the page cache where the device can: samples would push out what applications need."""

    def __init__(self, descriptor: int) -> None:
        self._plain = self._direct = descriptor
        self._buffer = mmap.mmap(-1, ENDS + BLOCK)

    def __enter__(self) -> "_Reader":
        try:
            self._direct = os.open(f"/proc/self/fd/{self._plain}", os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._direct != self._plain:
            os.close(self._direct)
        self._buffer.close()

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes."""
        with memoryview(self._buffer) as whole, whole[:length] as part:
            count = os.preadv(self._direct, [part], offset)
            return bytes(part[:count])
