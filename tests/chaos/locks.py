"""Who breaks or mends something has it for itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

WAIT_SECONDS: Final = 60.0
"""How long a fault waits for an earlier one to end."""


class Occupied(Exception):
    """What shall fail cannot fail now, for instance because it is still busy with an earlier fault; says why."""


@contextlib.asynccontextmanager
async def taken(lock: asyncio.Lock) -> AsyncIterator[None]:
    """Hold the lock while the block runs; raises Occupied."""
    await take(lock)
    try:
        yield
    finally:
        lock.release()


async def take(lock: asyncio.Lock) -> None:
    """Take the lock; raises Occupied."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await lock.acquire()
    except TimeoutError:
        raise Occupied("an earlier fault has not ended") from None
