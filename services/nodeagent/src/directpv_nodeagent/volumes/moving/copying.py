"""One pass of rsync, in a jail of its own. Awaits in the event loop of the main thread; nothing here blocks."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Final

from directpv_common.protocol.errors import Busy, DriveFault
from directpv_nodeagent.layout.core.layout import TMP_DIR
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.linux.jail import LOCKED
from directpv_nodeagent.linux.supervised import run_supervised
from directpv_nodeagent.volumes.moving import incoming
from directpv_nodeagent.volumes.moving.core import passes

LONGEST_SECONDS: Final = 14 * 24 * 3600.0
"""Of one pass: 20 TB at 20 MB/s."""
_KEEP: Final = 8192


async def copy(
    source: DriveView, target: DriveView, name: str, *, limit: int, last: bool, told: Callable[[int], None]
) -> None:
    """Bring the copy of a volume up to date. Cancelling the call ends rsync; another pass goes on where it was.

    Args:
        source: The drive that has the volume.
        target: The drive that has the copy.
        name: The volume.
        limit: Bytes per second; 0: none.
        last: Whether nothing may change meanwhile.
        told: Told the bytes that it has been through.

    Raises:
        DriveFault: It could not copy everything; says what rsync said.
        Busy: What worked on the copy before was killed, and has not ended.
    """
    done = 0

    def heard(output: bytes) -> None:
        nonlocal done
        done = passes.progress(output, done)
        told(done)

    ended = await run_supervised(
        sys.executable, "-m", "directpv_nodeagent.linux.jail", f"{source.root}/{TMP_DIR}",
        incoming.lock_of(target, name), f"{source.path}/{name}", incoming.path_of(target, name),
        *passes.arguments(limit), within=LONGEST_SECONDS, keep=_KEEP, heard=heard,
    )  # fmt: skip
    if ended.status == LOCKED:
        raise Busy(f"{name}: what copied it before was killed, and has not ended: a disk hangs")
    if not passes.is_done(ended.status, ended.output, last=last):
        raise DriveFault(
            f"copying {name} from drive {source.fsuuid} to {target.fsuuid}: "
            f"{passes.failure(ended.status, ended.output)}"
        )


async def copy_unless(stop: asyncio.Event, *drives: Any, **how: Any) -> bool:
    """Do as :func:`copy` does, until it has ended or ``stop`` is set; tell whether it has ended. Raises the same."""
    work, stopped = asyncio.create_task(copy(*drives, **how)), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
            return True
        return False
    finally:
        for task in (work, stopped):
            task.cancel()
        await asyncio.gather(work, stopped, return_exceptions=True)
