"""From a command to the bus and back: connect late, fail clearly."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from directpv_cli.reading.settings import settings
from directpv_cli.showing.terminal.lines import fail, plain, say

if TYPE_CHECKING:
    import asyncio

    from directpv_common.bus.bus import Bus
    from directpv_common.bus.trust import Trust

T = TypeVar("T")

CONNECT_SECONDS: Final = 5.0


def run(work: "Callable[[Bus], Awaitable[T]]") -> T:
    """Reach the bus, await ``work(bus)`` and return its result; any error ends the program with status 1."""
    import asyncio

    from directpv_common.protocol.errors import DirectPVError

    if (held := _LENT.get()) is not None:
        return _run_there(held, work)
    hushed()

    async def connected() -> T:
        async with session() as bus:
            return await work(bus)

    try:
        return asyncio.run(connected())
    except DirectPVError as error:
        fail(f"{error.message}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        fail("interrupted")


class Lent(NamedTuple):
    """A bus that somebody else holds, for verbs that run in threads beside him."""

    loop: "asyncio.AbstractEventLoop"
    """His."""
    work: "Callable[[Callable[[Bus], Awaitable[Any]]], Awaitable[Any]]"
    """Awaits what is to be done with the bus; raises why there is none, or that it was lost meanwhile."""


_LENT: Final[ContextVar[Lent | None]] = ContextVar("lent", default=None)


@contextlib.contextmanager
def lent(held: Lent) -> Iterator[None]:
    """Let verbs in the block use a bus that is there already."""
    token = _LENT.set(held)
    try:
        yield
    finally:
        _LENT.reset(token)


def _run_there(held: Lent, work: "Callable[[Bus], Awaitable[T]]") -> T:
    """Await ``work`` on the loop of who holds the bus; errors end the verb as in :func:`run`."""
    import asyncio
    from concurrent.futures import CancelledError

    from directpv_common.protocol.errors import DirectPVError

    async def there() -> Any:
        return await held.work(work)

    try:
        found: T = asyncio.run_coroutine_threadsafe(there(), held.loop).result()
        return found
    except DirectPVError as error:
        fail(f"{error.message}")
    except CancelledError:
        fail("interrupted")


def hushed() -> None:
    """Let libraries log nothing: people read what we say."""
    import logging

    logging.getLogger("directpv_common").setLevel(logging.CRITICAL)
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # nats-py leaves futures behind when it is cancelled


def _trust(authority: str) -> "Trust":
    """Return that in servers of a cluster; on the way to others nothing of an installation is loaded."""
    from directpv_cli.install.objects.nats import SERVER_NAME
    from directpv_common.bus.trust import Trust

    return Trust(authority, SERVER_NAME)


@contextlib.asynccontextmanager
async def session() -> "AsyncIterator[Bus]":
    """Yield the bus of the installation that the settings name; what leads there ends with the block.

    Raises:
        DirectPVError: It cannot be reached, does not let us in, or the way to it was lost meanwhile; says why.
    """
    from directpv_cli.reaching.local_key import found_key
    from directpv_cli.reaching.way import reached
    from directpv_common.access.nkey import key_of
    from directpv_common.access.patience import PERSON_SECONDS
    from directpv_common.access.tokens import inbox_of
    from directpv_common.bus.connecting import INBOX, connect_bus
    from directpv_common.bus.nats_client import cancellation_heeded

    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(reached(settings.nats_url, settings.kubeconfig))
        nkey = key_of(settings.nats_nkey or found_key(url))
        token, authority = await _shown(url) if nkey is None else ("", "")
        bus = connect_bus(
            url,
            name="kubectl-directpv",
            prefix=settings.prefix,
            within=PERSON_SECONDS if token else CONNECT_SECONDS,
            nkey=nkey,
            token=token,
            inbox=inbox_of(token) if token else INBOX,
            trust=_trust(authority) if authority else None,
        )
        with cancellation_heeded():  # Ctrl-C just while the server greets
            entered = await stack.enter_async_context(bus)
        entered.on_wait = _waiting()
        await entered.follow_leader()  # nobody sits for the seconds that an attempt lasts when a leader dies
        yield entered


def _waiting() -> "Callable[[str], None]":
    """Return what says why the program waits, each reason once however many calls do."""
    said: set[str] = set()

    def say_once(why: str) -> None:
        who = why.rpartition(": ")[2]
        if who not in said:
            said.add(who)
            say(f"[yellow]{plain(who)}; waiting for some seconds[/yellow]")

    return say_once


async def _shown(url: str) -> tuple[str, str]:
    """Return what shows the NATS of a cluster who we are, and what it has to show us; empty if it asks nobody."""
    import asyncio
    import os

    from directpv_cli.reaching.way import Tunnel, way

    chosen = way(settings.nats_url, settings.kubeconfig, os.environ, os.path.exists)
    if not isinstance(chosen, Tunnel):
        return "", ""
    from directpv_cli.reaching.credential import asks_who, authority_from_cluster, token_from_cluster

    authority, asked = await asyncio.gather(authority_from_cluster(chosen.kubeconfig), asks_who(url))
    if not authority and not asked:
        return "", ""
    return await token_from_cluster(chosen.kubeconfig), authority
