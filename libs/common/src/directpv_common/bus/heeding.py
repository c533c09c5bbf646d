"""Has nats-py heed a cancellation that comes in the moment in which it gets what it waits for.

Up to Python 3.11 ``asyncio.wait_for`` returns the result then, and the cancellation is lost: a task that asks again and
again, and is cancelled while an answer arrives, goes on for ever, and who waits for its end does, too. A process that
was stopped for a while wakes up to answers and ends of time in one turn of its loop. From Python 3.12 on it is a
timeout around an await, as here. Source: CPython issues 86296 and 96764; tried with nats-py 2.16.
"""

import asyncio
import sys
import types
from collections.abc import Awaitable
from typing import TypeVar

from directpv_common.bus import lean_nats  # noqa: F401

# isort: split
import nats.aio.client  # noqa: F401 - with all that it stands on

from directpv_common.calls import scopes

Result = TypeVar("Result")


async def _wait_for(awaited: Awaitable[Result], timeout: float | None = None) -> Result:
    async with scopes.timeout(timeout):
        return await awaited


def _heeding() -> types.ModuleType:
    """Return asyncio with the other ``wait_for``: the library calls it by that name."""
    made = types.ModuleType(asyncio.__name__)
    vars(made).update(vars(asyncio), wait_for=_wait_for)
    return made


if sys.version_info < (3, 12):
    _made = _heeding()
    for _name, _module in tuple(sys.modules.items()):
        if _name.startswith("nats.") and vars(_module).get("asyncio") is asyncio:
            vars(_module)["asyncio"] = _made
