"""Long-running programs that must not outlive the agent: whoever is killed, nobody works on a drive unsupervised.

The kernel is asked to kill the program when the agent ends (PR_SET_PDEATHSIG), by a small Python program that becomes
the wanted one; doing it between fork and exec could hang in a process with threads. Source: prctl(2): the signal comes
when the *thread* that forked ends, which is the event loop's, and survives exec of programs without privileges.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import DriveFault

REAP_SECONDS: Final = 10.0
"""How long a killed program is waited for; one in state D on a dead disk cannot be killed."""
_CHUNK: Final = 65536
_MISSING: Final = 127
_BECOME: Final = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 9)\n"
    "os.getppid() == int(sys.argv[1]) or os._exit(1)\n"
    "try: os.execvp(sys.argv[2], sys.argv[2:])\n"
    "except OSError as error: print(f'{sys.argv[2]} cannot be started: {error.strerror}'); sys.exit(127)\n"
)
"""PR_SET_PDEATHSIG is 1, SIGKILL 9. If the agent died before, its child has another parent by now."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    status: int
    """Exit status; negative: the signal that ended it."""
    output: bytes
    """The last bytes that it wrote, standard output and error together."""


async def run_supervised(
    *argv: str,
    within: float,
    keep: int,
    started: Callable[[int], None] = lambda pid: None,
    heard: Callable[[bytes], None] = lambda output: None,
) -> Ended:
    """Run ``argv`` and return how it ended; it is killed if this process ends, or the call is cancelled.

    Call it in the event loop of the main thread.

    Args:
        argv: Program and arguments; no shell.
        within: Seconds until it is killed.
        keep: Bytes of output to keep.
        started: Told the program's process id.
        heard: Told each piece of its output.

    Raises:
        DriveFault: It cannot be started, did not end in time, or cannot be killed.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _BECOME, str(os.getpid()), *argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise DriveFault(f"{argv[0]} cannot be started: {error.strerror}") from error
    started(process.pid)
    tail = bytearray()
    try:
        async with timeout(within):
            status = await _follow(process, tail, keep, heard)
    except TimeoutError:
        raise DriveFault(f"{argv[0]} did not end within {within:g} s and was killed") from None
    finally:
        if process.returncode is None:
            await _kill(process)
    if status == _MISSING:
        raise DriveFault(f"{tail.decode(errors='replace').strip()}; is its package installed?")
    return Ended(status, bytes(tail))


async def _follow(
    process: asyncio.subprocess.Process, tail: bytearray, keep: int, heard: Callable[[bytes], None]
) -> int:
    """Read until the program ends, keeping the last ``keep`` bytes in ``tail``."""
    assert process.stdout is not None
    while chunk := await process.stdout.read(_CHUNK):
        tail += chunk
        del tail[:-keep]
        heard(chunk)
    return await process.wait()


async def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with timeout(REAP_SECONDS):
            await process.wait()
