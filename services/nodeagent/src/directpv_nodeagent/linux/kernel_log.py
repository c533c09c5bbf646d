"""What the kernel logs while something is done: a system call gives a number, the log gives the reason. Blocks.

Source: Documentation/ABI/testing/dev-kmsg: one record per read, ``<prefix>;<text>``; EPIPE when records were lost.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Final

_DEVICE: Final = "/dev/kmsg"
_RECORD_BYTES: Final = 8192
_MOST: Final = 1000
"""Records that are looked at."""


@contextlib.contextmanager
def heard(about: str) -> Iterator[Callable[[], list[str]]]:
    """Listen while the block runs; the callable returns the lines so far that contain ``about``, without what precedes.

    Where the log cannot be read, there are none.
    """
    try:
        descriptor = os.open(_DEVICE, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield list
        return
    try:
        with contextlib.suppress(OSError):
            os.lseek(descriptor, 0, os.SEEK_END)
        yield lambda: list(_lines(descriptor, about))
    finally:
        os.close(descriptor)


def _lines(descriptor: int, about: str) -> Iterator[str]:
    for _ in range(_MOST):
        try:
            record = os.read(descriptor, _RECORD_BYTES)
        except BrokenPipeError:
            continue
        except OSError:
            return
        text = record.decode(errors="replace").partition(";")[2].partition("\n")[0]
        _, found, said = text.partition(about)
        if found:
            yield said.strip(" :.")
