"""The one door to external programs: own session, bounded wait, nothing left running."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from typing import Final

from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import DriveFault

REAP_SECONDS: Final = 2.0
"""How long a killed program is waited for; one in state D on a dead disk cannot be killed."""


class CommandFailed(DriveFault):
    """A program ended with a status other than 0; ``message`` has the end of what it said."""


async def output_of(*argv: str, within: float, input: bytes | None = None, ok: Sequence[int] = (0,)) -> str:
    """Run ``argv`` and return its standard output, in the words of the C locale: callers read them.

    Args:
        argv: Program and arguments; no shell.
        within: Seconds until the program and its children are killed.
        input: Bytes for its standard input.
        ok: Exit statuses that count as success.

    Raises:
        CommandFailed: Another exit status, or the program does not exist.
        DriveFault: It did not end within ``within`` seconds.
    """
    try:
        process = await _start(argv, asyncio.subprocess.PIPE if input is not None else asyncio.subprocess.DEVNULL)
    except OSError as error:
        raise CommandFailed(f"{argv[0]} cannot be started: {error.strerror}; is its package installed?") from error
    try:
        async with timeout(within):
            out, err = await process.communicate(input)
    except TimeoutError:
        raise DriveFault(f"{argv[0]} did not end within {within:g} s and was killed") from None
    finally:
        if process.returncode is None:
            await _kill(process)
    if process.returncode not in ok:
        said = (err or out).decode(errors="replace").strip()[-800:]
        raise CommandFailed(f"{argv[0]} ended with status {process.returncode}: {said}")
    return out.decode(errors="replace")


async def _start(argv: Sequence[str], stdin: int) -> asyncio.subprocess.Process:
    """Start a program; a caller that is cancelled meanwhile waits until there is something to kill.

    Cancelled itself, asyncio kills the program alone and waits until its pipes are closed, which its children hold.
    """
    pipe, env = asyncio.subprocess.PIPE, {**os.environ, "LC_ALL": "C"}
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(*argv, stdin=stdin, stdout=pipe, stderr=pipe, start_new_session=True, env=env)
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait({starting}, timeout=REAP_SECONDS)
        if starting.done() and starting.exception() is None:
            await _kill(starting.result())
        raise


async def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill the whole session of ``process`` and wait a bounded time for it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with timeout(REAP_SECONDS):
            await process.wait()
