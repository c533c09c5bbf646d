"""From URLs and a key to a :class:`~.bus.Bus`, and away again, within bounded times.

Source: the settings answer what was measured for nats-py 2.16 under failure.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Final
from urllib.parse import urlsplit

from directpv_common.bus.nats_client import CANCEL_SECONDS, NatsClient

# isort: split
import nats.errors

from directpv_common.access.nkey import Nkey
from directpv_common.access.patience import CLIENT_SECONDS
from directpv_common.bus.bus import Bus
from directpv_common.bus.trust import Doubt, Trust
from directpv_common.calls.scopes import timeout
from directpv_common.process.redact import redacted
from directpv_common.process.traffic import TRAFFIC
from directpv_common.protocol.errors import FailedPrecondition, InvalidRequest, Refused, Unavailable
from directpv_common.protocol.subjects import Subjects, node_token

log = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 2
PING_SECONDS: Final = 3
"""Three of them without an answer end a connection: a server that was cut off is left before the node is offline."""
COMPLAIN_SECONDS: Final = 5.0
DISTRUST_SECONDS: Final = 2.0
"""Before a server is tried again that did not show by TLS who it is."""
INBOX: Final = "_INBOX"
KEY_ADVICE: Final = "give the file of a key that it knows (nats-nkey)"
SECRET_ADVICE: Final = "is the secret of its bus (bus-secret) another one than the servers'?"  # noqa: S105 - no secret
"""For who has a key that is made of it."""
_FORBIDDEN: Final = re.compile(r'permissions violation for publish to "([^"]+)"', re.IGNORECASE)


def node_inbox(node: str) -> str:
    """Return the prefix of the subjects on which programs of a node hear replies; other nodes hear none of them."""
    return f"{INBOX}.{node_token(node)}"


@contextlib.asynccontextmanager
async def connect_bus(
    urls: str,
    *,
    name: str,
    prefix: str,
    within: float | None = 30.0,
    nkey: Nkey | None = None,
    token: str = "",
    inbox: str = INBOX,
    asked: bool = False,
    advice: str = KEY_ADVICE,
    trust: Trust | None = None,
) -> AsyncIterator[Bus]:
    """Connect to the first of the comma-separated ``urls`` that answers; drain and close at the end.

    Args:
        urls: For instance ``nats://127.0.0.1:4222``.
        name: Shown by ``nats server report connections``.
        prefix: Subject prefix of the installation.
        within: Seconds to wait for a server at the start; None: as long as it takes.
        nkey: Who we are; None: nobody in particular.
        token: What shows who we are, where that is no key.
        inbox: Prefix of the subjects on which replies come, where that is not the key's.
        asked: Whether servers ask others who we are, which takes its time; with a token they do.
        advice: What to do when a server does not let in who shows a key, or nothing.
        trust: What servers must show by TLS before anything is said to them; None: no TLS.

    Raises:
        Refused: A server does not let this user in.
        Unavailable: No server answered in time; names the URLs, and why servers were not trusted.
        FailedPrecondition: The certificate of a server is not accepted, and ``within`` is not None.
        InvalidRequest: A URL cannot be understood, or there is no certificate in ``trust``.
    """
    servers = [_checked(url.strip()) for url in urls.split(",")]
    client = NatsClient()
    bus = Bus(client, Subjects(prefix))
    refused, given_up, doubt = asyncio.Event(), asyncio.Event(), Doubt(redacted(urls))

    async def disconnected() -> None:
        if not client.is_draining and not client.is_closed:
            log.warning("bus disconnected")

    async def closed() -> None:
        bus.ended.set()

    async def failed(error: Exception) -> None:
        # While the server is away this comes with every attempt to reconnect: too often for a log.
        if _is_refusal(error):
            refused.set()
            given_up.set()
        if isinstance(error, nats.errors.SlowConsumerError):
            TRAFFIC.dropped["slow"] += 1
        if doubt.noted(error):
            if within is not None and doubt.lasting:
                given_up.set()
            await asyncio.sleep(DISTRUST_SECONDS)
            return
        if forbidden := _FORBIDDEN.search(str(error)):
            bus.denied(forbidden[1])
        level = logging.WARNING if client.is_connected else logging.DEBUG
        log.log(level, "bus error", extra={"error": str(error) or type(error).__name__})

    if nkey is not None:
        client.identify(nkey)
    client.trust = trust
    connecting = client.connect(
        servers,
        tls=trust.context if trust is not None else None,
        tls_hostname=trust.name if trust is not None else None,
        signature_cb=nkey.answer if nkey is not None else None,
        inbox_prefix=nkey.inbox if nkey is not None else inbox,
        token=token or None,
        name=name,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.1,  # type: ignore[arg-type]
        connect_timeout=CLIENT_SECONDS if asked or token else CONNECT_SECONDS,  # type: ignore[arg-type]
        ping_interval=PING_SECONDS,
        max_outstanding_pings=2,
        allow_reconnect=True,
        error_cb=failed,
        closed_cb=closed,
        disconnected_cb=disconnected,
        reconnected_cb=bus.reconnected,
    )
    try:
        async with _impatient(urls):
            await _ended_within(connecting, within, given_up)
        if refused.is_set():
            raise nats.errors.AuthorizationError
        if given_up.is_set():
            raise TimeoutError
    except nats.errors.AuthorizationError as error:
        await _close(client)
        raise Refused(f"NATS at {redacted(urls)} does not let in {_who(nkey, token, advice)}") from error
    except (nats.errors.Error, OSError, TimeoutError) as error:
        await _close(client)
        if doubt.lasting and not refused.is_set():
            raise FailedPrecondition(doubt.said) from error
        waited = "" if within is None else f" within {within:g} s"
        raise Unavailable(doubt.said or f"no NATS server answers at {redacted(urls)}{waited}") from error
    except asyncio.CancelledError:
        await _close(client)
        raise
    leaving = asyncio.create_task(_leave(client, refused))
    try:
        yield bus
    finally:
        leaving.cancel()
        await _close(client)


def _who(nkey: Nkey | None, token: str, advice: str) -> str:
    """Return who was not let in, and what to do."""
    if token and nkey is None:
        return "this token; the logs of the controllers say why"
    who = f"the user {nkey.public}" if nkey is not None else "users without a key"
    return f"{who}: {advice}"


async def _leave(client: NatsClient, refused: asyncio.Event) -> None:
    """End a connection whose user was taken out, instead of asking ten times a second to be let in again."""
    await refused.wait()
    log.error("NATS does not let us in any more")
    await client.close()


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, nats.errors.AuthorizationError) or "authorization violation" in str(error).lower()


def _checked(url: str) -> str:
    """Return the URL of a server, if it is one.

    Raises:
        InvalidRequest: It names no host, or no port that could be one; what it says is not repeated.
    """
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        understood = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        understood = False
    if not understood:
        raise InvalidRequest(
            "nats-url: not understood; write nats://127.0.0.1:4222, and in a password %2F for a slash, %40 for an @",
            field="nats-url",
        )
    return url


async def _ended_within(work: Coroutine[Any, Any, None], within: float | None, refused: asyncio.Event) -> None:
    """Wait for ``work``, which would go on for ever; see that it ends when the time is over, or we are refused.

    One cancellation is not enough: asyncio.wait_for of Python 3.11 loses one that comes as its own work fails, and the
    client (nats-py 2.16) then tries the next server.

    Raises:
        TimeoutError: It did not end in time.
    """
    task, giving_up = asyncio.ensure_future(work), asyncio.ensure_future(refused.wait())
    try:
        done, _ = await asyncio.wait({task, giving_up}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            raise TimeoutError
        if task in done:
            await task
    finally:
        giving_up.cancel()
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_SECONDS)


@contextlib.asynccontextmanager
async def _impatient(urls: str) -> AsyncIterator[None]:
    """Say now and then that the block still waits for a server."""

    async def complain() -> None:
        while True:
            await asyncio.sleep(COMPLAIN_SECONDS)
            log.warning("no NATS server answers yet", extra={"urls": urls})

    complaining = asyncio.create_task(complain())
    try:
        yield
    finally:
        complaining.cancel()


async def _close(client: NatsClient) -> None:
    """Send what is buffered and close, within a bounded time."""
    try:
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            async with timeout(CONNECT_SECONDS):
                await client.drain()
        if not client.is_closed:
            with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
                async with timeout(CONNECT_SECONDS):
                    await client.close()
    finally:
        await client.end()
