"""How a program ends when nobody takes its output, or there is no room for it: in a line, never in a traceback."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Final, NoReturn, TextIO

from directpv_cli.reading.statuses import INTERRUPTED, READER_GONE, RUNTIME_ERROR

_OF_OUTPUT: Final = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})
"""What writing to standard output says; errors of files name the file."""
DEBUG: Final = "DIRECTPV_DEBUG"
"""Environment variable: show tracebacks."""


def ended(program: Callable[[], None]) -> NoReturn:
    """Run ``program`` and exit with its status; what it printed has been taken then, or its status says otherwise.

    Where standard error has no room nobody can be told: the status stays what it is.
    """
    _make_writable()
    try:
        _run(program)
    finally:
        try:
            sys.stderr.flush()
        except OSError:
            _drop(sys.stderr)


def _run(program: Callable[[], None]) -> NoReturn:
    status: str | int | None = None
    stdout = sys.stdout
    try:
        try:
            program()
        except SystemExit as end:
            status = end.code
            if sys.stdout is not stdout:  # Typer has met EPIPE, put a stream there that swallows it, and says 1
                _drop(stdout)
                sys.exit(READER_GONE)
        except (KeyboardInterrupt, BrokenPipeError):
            raise
        except Exception as error:
            if _is_of_output(error) or os.environ.get(DEBUG):
                raise
            status = _unforeseen(error)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        if not _is_of_output(error):
            raise
        _drop(sys.stdout)
        if error.errno == errno.EPIPE:
            sys.exit(READER_GONE)
        with contextlib.suppress(OSError):
            sys.stderr.write(f"ERROR standard output: {error.strerror}\n")
        sys.exit(RUNTIME_ERROR)
    sys.exit(status)


def _make_writable() -> None:
    """Let every text be printed: terminals may know only ASCII, names may be no Unicode, streams may be closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for the life of the program
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _is_of_output(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _OF_OUTPUT and not error.filename


def _unforeseen(error: Exception) -> int:
    """Tell of an error that nobody foresaw in one line, and return the exit status."""
    said = " ".join(str(error).split()) or "no more is known"
    sys.stderr.write(f"ERROR {type(error).__name__}: {said}; set {DEBUG}=1 to see where, and report it\n")
    return RUNTIME_ERROR


def _drop(stream: TextIO) -> None:
    """Let what is still buffered go nowhere, or the interpreter would complain about it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
