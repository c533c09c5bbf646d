"""Imports nats-py without aiohttp; to be imported before it.

nats-py loads aiohttp, if it is installed, for WebSockets, which nothing here uses: 80 ms at the start of each process
and 9 MiB for its whole life. Who needs aiohttp itself can import it afterwards as ever.
"""

import sys
from typing import Any, Final

_UNUSED: Final = "aiohttp"


def _import_nats() -> None:
    modules: dict[str, Any] = sys.modules
    modules[_UNUSED] = None  # makes an import of it fail
    try:
        import nats.aio.client  # noqa: F401
    finally:
        del modules[_UNUSED]


if "nats" not in sys.modules and _UNUSED not in sys.modules:
    _import_nats()
