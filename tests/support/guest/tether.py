"""Processes that end with the tests, however these end: by SIGKILL too."""

import contextlib
import functools
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

END_SECONDS: Final = 30.0
_SCRIPT: Final = """
exec 3<&0 </dev/null
(read -r _ <&3; kill -KILL 0) >/dev/null 2>&1 &
exec "$@" 3<&-
"""
"""The program takes the place of the shell; its guard waits for the end of a pipe that only the tests can write to.

The guard kills their process group. PR_SET_PDEATHSIG would be the death of one process, of which a guest has several,
and already at the end of the thread that started it.
"""


@functools.cache
def _pipe() -> tuple[int, int]:
    return os.pipe()


def start(command: Sequence[str | Path], **more: Any) -> "subprocess.Popen[bytes]":
    """Start a program as the leader of a process group of its own, without input; ``more`` is what Popen takes."""
    return subprocess.Popen(("sh", "-c", _SCRIPT, "tether", *command), stdin=_pipe()[0], start_new_session=True, **more)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill it with all that it started, and its guard; also one that has ended already."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(END_SECONDS)
