"""The bus: typed request/reply, publish and subscribe over NATS, for one process.

Source: NATS client behaviour under failure was measured for nats-py 2.16; the settings in
:func:`connect_bus` and the short attempts in :meth:`Bus.call` answer what was seen there.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from directpv_common import lean_nats  # noqa: F401
from directpv_common.scopes import timeout

# isort: split
import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.micro.request import ERROR_CODE_HEADER

from directpv_common.access.nkey import Nkey
from directpv_common.api import Endpoint
from directpv_common.context import headers_for, remaining
from directpv_common.errors import (
    DeadlineExceeded,
    DirectPVError,
    Failure,
    Internal,
    InvalidRequest,
    Refused,
    TooLarge,
    Unavailable,
)
from directpv_common.redact import redacted
from directpv_common.subjects import Subjects
from directpv_common.wire import ACCEPTS, DEFLATE, decode, encode, pack, unpack

log = logging.getLogger(__name__)
Q = TypeVar("Q")
R = TypeVar("R")

ATTEMPT_SECONDS: Final = 5.0
"""A responder that is killed in the middle says nothing: after so long the same request is sent again."""
FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.25
LEAST_ATTEMPT: Final = 0.5
"""With less time than that, a busy server could not say that nobody is there, and silence would be told instead."""
CONNECT_SECONDS: Final = 2
PING_SECONDS: Final = 5
COMPLAIN_SECONDS: Final = 5.0
CANCEL_SECONDS: Final = 0.05
PING: Final = b"PING\r\n"
INBOX: Final = "_INBOX"
_FORBIDDEN: Final = re.compile(r'permissions violation for publish to "([^"]+)"', re.IGNORECASE)


_HEADERS_BEGIN: Final = len("NATS/1.0\r\n\r\n")
_HEADER_FRAME: Final = len(": \r\n")


class _Client(Client):
    """The client, without four faults of it (nats-py 2.16).

    It compares the payload alone with what the server takes. The server counts headers too, and closes the connection
    for good.

    A flush that is cancelled, or that ends without an answer in time, leaves its future behind. The server's answer
    comes all the same, sets that future once more, and the error ends the task that reads: connected, but deaf until
    the pings find out.

    Its flush asks the server for an answer before it sends what waits to be sent, so that the answer says nothing.

    An attempt to reconnect that fails halfway leaves its connection open; the next one replaces it, and only the
    garbage collector closes it.
    """

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Publish, or raise MaxPayloadError if it does not fit with its headers."""
        size = len(payload)
        if headers:
            size += _HEADERS_BEGIN + sum(len(k) + len(v.encode()) + _HEADER_FRAME for k, v in headers.items())
        if size > self.max_payload:
            raise nats.errors.MaxPayloadError
        await super().publish(subject, payload, reply, headers)

    def identify(self, nkey: Nkey) -> None:
        """Show servers who we are; the library itself would need a package that has no wheels for this."""
        self._auth_configured, self._public_nkey = True, nkey.public

    def hang_up(self) -> None:
        """Close the connection, if there is one."""
        if self._transport:
            self._transport.close()  # type: ignore[no-untyped-call]

    async def _connect_to_server(self, s: Any) -> None:
        self.hang_up()
        await super()._connect_to_server(s)

    async def _send_ping(self, future: "asyncio.Future[Any] | None" = None) -> None:
        self._pongs.append(future or asyncio.get_running_loop().create_future())
        await self._send_command(PING)
        await self._flush_pending()

    async def _process_pong(self) -> None:
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()


class Bus:
    """One connection to NATS; made by :func:`connect_bus`."""

    def __init__(self, client: Client, subjects: Subjects) -> None:
        self.client = client
        self.subjects = subjects
        self._reconnected: list[Callable[[], None]] = []
        self.ended = asyncio.Event()
        """Set when the connection is over for good: the server ended it, or we did. Only a new one helps."""
        self._attempts: dict[asyncio.Timeout, str] = {}
        """Attempts that wait for a reply, with what they asked."""
        self._denied: set[str] = set()
        """Subjects on which we may not speak, as the server said."""

    @property
    def connected(self) -> bool:
        """Whether the server can be reached now."""
        return self.client.is_connected

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` after each reconnect: whatever was sent in between was lost, so resync."""
        self._reconnected.append(callback)

    async def require(self) -> None:
        """Wait until the connection is over for good.

        Raises:
            Unavailable: Then.
        """
        await self.ended.wait()
        raise Unavailable("the NATS server ended the connection for good")

    async def follow_leader(self) -> None:
        """Send calls again as soon as a new leader says that it answers: the one that was asked may be dead."""
        await self.subscribe(self.subjects.leader, self._leads)

    def _leads(self, _: Msg) -> None:
        self._end_attempts(_is_for_leader)

    def denied(self, subject: str) -> None:
        """End the attempts to speak on ``subject``: the server said that we may not, and nobody will answer."""
        if subject in self._attempts.values():
            self._denied.add(subject)
            self._end_attempts(lambda asked: asked == subject)

    def _end_attempts(self, which: Callable[[str], bool]) -> None:
        now = asyncio.get_running_loop().time()
        for attempt, subject in self._attempts.items():
            if which(subject) and not attempt.expired():
                attempt.reschedule(now)

    async def reconnected(self) -> None:
        """Tell everyone who asked; called by the client."""
        log.info("bus reconnected")
        for callback in self._reconnected:
            callback()

    async def call(
        self,
        endpoint: Endpoint[Q, R],
        request: Q,
        *,
        node: str | None = None,
        within: float = 10.0,
        attempt: float = ATTEMPT_SECONDS,
        patient: bool = True,
    ) -> R:
        """Send ``request`` and return the validated reply; every call of the APIs may be repeated safely.

        Args:
            endpoint: A row of :mod:`directpv_common.api`.
            request: Its message.
            node: The node to ask, for endpoints of the node API.
            within: Seconds at most; less if the caller of this task waits less.
            attempt: Seconds after which the same request is sent again.
            patient: Whether to wait for a responder that is not there (yet).

        Raises:
            Refused: The server does not let us ask this.
            Unavailable: Nobody answers this subject, for as long as the call could wait.
            DeadlineExceeded: Somebody may have done the work, but no reply came in time.
            DirectPVError: What the responder raised.
        """
        loop = asyncio.get_running_loop()
        limit = min(within, remaining(within))
        deadline = loop.time() + limit
        subject = self._subject(endpoint, node)
        data = encode(request)
        pause = FIRST_PAUSE
        while True:
            left = deadline - loop.time()
            try:
                return self._reply(endpoint, await self._request(subject, data, min(attempt, left), left))
            except Refused:
                raise
            except Unavailable:
                if not patient or deadline - loop.time() <= pause + LEAST_ATTEMPT:
                    raise
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            except _NoReply:
                if deadline - loop.time() <= pause:
                    raise DeadlineExceeded(f"{subject}: no reply within {limit:.1f} s; it is safe to repeat") from None

    def _subject(self, endpoint: Endpoint[Q, R], node: str | None) -> str:
        if node is None:
            return self.subjects.controller(endpoint.noun, endpoint.verb)
        return self.subjects.node(node, endpoint.noun, endpoint.verb)

    async def _request(self, subject: str, data: bytes, attempt: float, left: float) -> Msg:
        """Send once; turn the client's errors into ours."""
        try:
            async with timeout(attempt) as scope:
                with self._attempt(subject, scope), cancellation_heeded():
                    headers = headers_for(left) | {ACCEPTS: DEFLATE}
                    return await self.client.request(subject, pack(data, headers), timeout=left + 1, headers=headers)
        except nats.errors.NoRespondersError:
            raise Unavailable(f"nobody answers {subject}: {_who(subject)}") from None
        except TimeoutError:  # also the client's own
            if subject in self._denied:
                raise Refused(f"{subject}: the key by which NATS knows us may not ask this") from None
            raise _NoReply from None
        except nats.errors.MaxPayloadError as error:
            raise TooLarge(f"{subject}: the request does not fit into one message of the bus") from error
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"{subject}: the bus cannot be reached: {error or type(error).__name__}") from error

    @contextlib.contextmanager
    def _attempt(self, subject: str, scope: asyncio.Timeout) -> Iterator[None]:
        self._denied.discard(subject)
        self._attempts[scope] = subject
        try:
            yield
        finally:
            del self._attempts[scope]

    @staticmethod
    def _reply(endpoint: Endpoint[Q, R], message: Msg) -> R:
        try:
            if not message.headers or ERROR_CODE_HEADER not in message.headers:
                return decode(unpack(message.data, message.headers), endpoint.reply)
            failure = decode(message.data, Failure)
        except (InvalidRequest, TooLarge) as error:
            raise Internal(f"reply to {endpoint.name} cannot be read: {error.message}") from error
        raise failure.as_error()

    async def publish(self, subject: str, message: object) -> None:
        """Send ``message`` to whoever listens; lost if nobody does or the server is away, told if it is too large."""
        data = encode(message)
        try:
            with cancellation_heeded():
                await self.client.publish(subject, data)
        except nats.errors.MaxPayloadError:
            log.error(
                "does not fit into one message of the bus; nobody hears it",
                extra={"subject": subject, "bytes": len(data)},
            )
        except (nats.errors.Error, OSError):
            return

    async def subscribe(self, subject: str, callback: Callable[[Msg], None]) -> Callable[[], Awaitable[None]]:
        """Call ``callback`` for each message, on the loop: it must only hand over. Return what unsubscribes."""

        async def handle(message: Msg) -> None:
            callback(message)

        subscription = await self.client.subscribe(subject, cb=handle)

        async def unsubscribe() -> None:
            with contextlib.suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()

        return unsubscribe


@contextlib.contextmanager
def cancellation_heeded() -> Iterator[None]:
    """Raise a cancellation again that the client swallowed: it does so while it connects and flushes (nats-py 2.16)."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


class _NoReply(Exception):
    """One attempt ended without a reply."""


def _is_for_leader(subject: str) -> bool:
    return ".ctl." in subject


def _who(subject: str) -> str:
    """Say in words who should answer ``subject``."""
    return "no controller leads at the moment" if _is_for_leader(subject) else "the node's agent is not running"


@contextlib.asynccontextmanager
async def connect_bus(
    urls: str, *, name: str, prefix: str, within: float | None = 30.0, nkey: Nkey | None = None
) -> AsyncIterator[Bus]:
    """Connect to the first of the comma-separated ``urls`` that answers; drain and close at the end.

    Args:
        urls: For instance ``nats://127.0.0.1:4222``.
        name: Shown by ``nats server report connections``.
        prefix: Subject prefix of the installation.
        within: Seconds to wait for a server at the start; None: as long as it takes.
        nkey: Who we are; None: nobody in particular.

    Raises:
        Refused: A server does not let this user in.
        Unavailable: No server answered in time; names the URLs.
        InvalidRequest: A URL cannot be understood.
    """
    servers = [_checked(url.strip()) for url in urls.split(",")]
    client = _Client()
    bus = Bus(client, Subjects(prefix))
    refused = asyncio.Event()

    async def disconnected() -> None:
        if not client.is_draining and not client.is_closed:
            log.warning("bus disconnected")

    async def closed() -> None:
        bus.ended.set()

    async def failed(error: Exception) -> None:
        # While the server is away this comes with every attempt to reconnect: too often for a log.
        if _is_refusal(error):
            refused.set()
        if forbidden := _FORBIDDEN.search(str(error)):
            bus.denied(forbidden[1])
        level = logging.WARNING if client.is_connected else logging.DEBUG
        log.log(level, "bus error", extra={"error": str(error) or type(error).__name__})

    if nkey is not None:
        client.identify(nkey)
    connecting = client.connect(
        servers,
        signature_cb=nkey.answer if nkey is not None else None,
        inbox_prefix=nkey.inbox if nkey is not None else INBOX,
        name=name,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.1,  # type: ignore[arg-type]
        connect_timeout=CONNECT_SECONDS,
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
            await _ended_within(connecting, within, refused)
        if refused.is_set():
            raise nats.errors.AuthorizationError
    except nats.errors.AuthorizationError as error:
        await _close(client)
        who = f"the user {nkey.public}" if nkey is not None else "users without a key"
        raise Refused(
            f"NATS at {redacted(urls)} does not let in {who}: give the file of a key that it knows (nats-nkey)"
        ) from error
    except (nats.errors.Error, OSError, TimeoutError) as error:
        await _close(client)
        waited = "" if within is None else f" within {within:g} s"
        raise Unavailable(f"no NATS server answers at {redacted(urls)}{waited}") from error
    except asyncio.CancelledError:
        await _close(client)
        raise
    leaving = asyncio.create_task(_leave(client, refused))
    try:
        yield bus
    finally:
        leaving.cancel()
        await _close(client)


async def _leave(client: Client, refused: asyncio.Event) -> None:
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


async def _close(client: _Client) -> None:
    """Send what is buffered and close, within a bounded time."""
    with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
        async with timeout(CONNECT_SECONDS):
            await client.drain()
    if not client.is_closed:
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            async with timeout(CONNECT_SECONDS):
                await client.close()
    client.hang_up()


def reraise(error: BaseException) -> DirectPVError:
    """Return ``error`` if it is ours, else an :class:`Internal` that hides its text from the caller."""
    return error if isinstance(error, DirectPVError) else Internal("internal error; the service's log has the details")
