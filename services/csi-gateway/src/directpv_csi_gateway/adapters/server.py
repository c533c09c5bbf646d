"""Serves guarded services on a socket until cancelled, then lets running calls end."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from typing import Final

from directpv_common.calls.scopes import timeout
from directpv_csi_gateway.adapters.calls import Calls
from directpv_csi_gateway.adapters.gathering import Server
from directpv_csi_gateway.adapters.guard import Guard

log = logging.getLogger(__name__)

CLOSE_SECONDS: Final = 2.0


async def serve_csi(listening: socket.socket, guards: Sequence[Guard], calls: Calls, drain_seconds: float) -> None:
    """Answer calls on ``listening``, which is bound, until cancelled.

    Then calls that run get ``drain_seconds`` to end, and new ones are refused with UNAVAILABLE. grpclib's own close
    would cancel them and leave their callers without an answer. Idle connections do not delay the end.
    """
    server = Server(guards)
    await server.start(sock=listening)
    log.info("serving", extra={"socket": listening.getsockname()})
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        calls.closing = True
        await calls.in_flight.drain(drain_seconds)
        server.close()
        with contextlib.suppress(TimeoutError):
            async with timeout(CLOSE_SECONDS):
                await server.wait_closed()
