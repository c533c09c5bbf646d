"""How a program ends when nobody takes its output, or there is no room for it: in a line, never in a traceback."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable
from typing import Final, NoReturn

_OF_OUTPUT: Final = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})
"""What writing to standard output says; errors of files name the file."""
_READER_GONE: Final = 141
"""What a shell shows of a program that SIGPIPE ended."""


def ended(program: Callable[[], None]) -> NoReturn:
    """Run ``program`` and exit with its status; what it printed has been taken then, or its status says otherwise."""
    status: str | int | None = None
    try:
        try:
            program()
        except SystemExit as end:
            status = end.code
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in _OF_OUTPUT or error.filename:
            raise
        _drop_output()
        if error.errno == errno.EPIPE:
            sys.exit(_READER_GONE)
        with contextlib.suppress(OSError):
            sys.stderr.write(f"ERROR standard output: {error.strerror}\n")
        sys.exit(1)
    sys.exit(status)


def _drop_output() -> None:
    """Let what is still buffered go nowhere, or the interpreter would complain about it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
