"""The console as a program: sockets of loopback, the server, and what runs beside it, until somebody ends it."""

import asyncio
import contextlib
import logging
import secrets
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from directpv_cli.console.serving import acting, events, objects, pages, rights, streams
from directpv_cli.console.serving.desk import Desk
from directpv_cli.console.serving.gauges import Gauges
from directpv_cli.console.serving.guard import Guard
from directpv_cli.console.serving.hub import Hub
from directpv_cli.console.serving.keeper import Keeper
from directpv_cli.console.serving.link import Link
from directpv_cli.console.serving.site import Site
from directpv_cli.console.serving.tape import Tape
from directpv_common.process.lifecycle import Stop, background, leaves, stop_on_signal
from directpv_common.protocol.errors import DirectPVError

HOST: Final = "127.0.0.1"
HOST_6: Final = "::1"
END_SECONDS: Final = 2
"""How long answers that are under way may take when the console ends."""
IDLE_CHECKS: Final = 20
TOO_SOON: Final = (
    "Nothing was done: what changes something is sent by the script of its page, which did not run yet. Go back, and "
    "try again when the page is live."
)
STATIC: Final = Path(__file__).parent.parent / "static"


@dataclass(frozen=True)
class Options:
    """How to serve."""

    port: int = 0
    """0: one that is free."""
    ipv6: bool = False
    """Also at ``[::1]``."""
    idle: float = 8 * 3600.0
    """Ends after so many seconds in which nobody looked."""


class _Server(uvicorn.Server):
    """Leaves signals to who runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def serve(options: Options, ready: Callable[[str], None], entered: Callable[[], None]) -> str:
    """Serve until a signal comes or nobody looks any more; return why it ended.

    Args:
        options: How.
        ready: Is told the address, with the token in it, once it is answered.
        entered: Is told when the token was used.

    Raises:
        DirectPVError: The installation cannot be reached, or tells this user nothing.
        OSError: The port cannot be had.
    """
    sockets = _sockets(options)
    root = f"/{secrets.token_urlsafe(16)}/"
    site = new_site(root)
    guard = Guard(application(site), root, entered)
    guard.serve(authorities(sockets))
    config = uvicorn.Config(
        guard, lifespan="off", log_config=None, log_level=logging.CRITICAL, access_log=False, server_header=False,
        ws="none", timeout_graceful_shutdown=END_SECONDS, h11_max_incomplete_event_size=64 * 1024,
    )  # fmt: skip
    server = _Server(config)
    reasons: list[str] = []

    def end(why: str) -> None:
        reasons.append(why)
        site.hub.close()
        server.should_exit = True

    try:
        async with background(_signals(end), _idle(site.keeper, options.idle, end), site.link.run()):
            await site.link.first()
            await rights.require(site.link.bus())
            async with background(site.keeper.run(), site.desk.run()):
                await site.keeper.first()
                ready(f"http://{authorities(sockets)[0]}/?token={guard.token}")
                await server.serve(sockets)
    except BaseExceptionGroup as group:
        raise next((error for error in leaves(group) if isinstance(error, DirectPVError)), group) from None
    finally:
        for each in sockets:
            each.close()
    return reasons[0] if reasons else ""


def new_site(root: str) -> Site:
    """Return the console's parts, put together; nothing of them runs yet."""
    hub, link = Hub(), Link()
    keeper = Keeper(link, hub)
    tape, gauges = Tape(hub, keeper.nudge), Gauges(hub, keeper)
    link.beside += [tape.run, gauges.run]
    link.on_loss = keeper.lost
    return Site(root, hub, link, keeper, tape, gauges, Desk(hub, link, keeper.nudge))


def application(site: Site) -> Starlette:
    """Return what answers requests that the guard lets in."""
    inside: list[Route | Mount] = [
        *pages.routes(site),
        *objects.routes(site),
        *events.routes(site),
        *acting.routes(site),
        *streams.routes(site),
    ]
    inside.append(Mount("/static", StaticFiles(directory=STATIC)))
    handlers = {
        404: lambda request, error: site.missing(request),
        405: lambda request, error: site.missing(request, TOO_SOON, 405),
    }
    return Starlette(routes=[Mount(site.root.rstrip("/"), routes=inside)], exception_handlers=handlers)


def _sockets(options: Options) -> list[socket.socket]:
    """Return sockets that listen on loopback alone, all at one port.

    Raises:
        OSError: The port cannot be had.
    """
    first = socket.create_server((HOST, options.port))
    if not options.ipv6:
        return [first]
    try:
        return [first, socket.create_server((HOST_6, first.getsockname()[1]), family=socket.AF_INET6)]
    except OSError:
        first.close()
        raise


def authorities(sockets: Sequence[socket.socket]) -> list[str]:
    """Return what the header Host may say. Source: RFC 9110, section 7.2; browsers leave out port 80."""
    found = []
    for each in sockets:
        host, port = each.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        found.append(name if port == 80 else f"{name}:{port}")
    return found


async def _signals(end: Callable[[str], None]) -> None:
    try:
        await stop_on_signal(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    except Stop as stop:
        end(str(stop))


async def _idle(keeper: Keeper, limit: float, end: Callable[[str], None]) -> None:
    """End the console when nobody looked at it for so long."""
    while keeper.unwatched < limit:  # noqa: ASYNC110 - whoever looks says nothing when he stops
        await asyncio.sleep(limit / IDLE_CHECKS)
    end("idle")
