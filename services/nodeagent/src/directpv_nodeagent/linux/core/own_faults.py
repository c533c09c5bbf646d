"""What the kernel says when the agent itself, or the node, has run out of something: no fault of any drive."""

import errno
from typing import Final

OWN: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR, errno.ENOBUFS})
"""Descriptors of the process, of the node; memory, threads and processes; a signal."""


def is_own(error: BaseException | None) -> bool:
    """Tell whether ``error``, or one that it was raised from, is a shortage of the agent or its node."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError) and error.errno in OWN:
            return True
        seen.add(id(error))
        error = error.__cause__
    return False
