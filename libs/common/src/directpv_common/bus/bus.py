"""The bus: typed request/reply, publish and subscribe over NATS, for one process.

Source: NATS client behaviour under failure was measured for nats-py 2.16; the short attempts in :meth:`Bus.call`, and
the settings in :mod:`.connecting`, answer what was seen there.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeVar

from directpv_common.bus import lean_nats  # noqa: F401
from directpv_common.calls.scopes import timeout

# isort: split
import nats
import nats.errors
from nats.aio.msg import Msg

from directpv_common.bus.nats_client import NatsClient, cancellation_heeded
from directpv_common.calls.context import headers_for, remaining
from directpv_common.process.traffic import TRAFFIC
from directpv_common.protocol.api import Endpoint
from directpv_common.protocol.errors import (
    DeadlineExceeded,
    DirectPVError,
    Failure,
    Internal,
    InvalidRequest,
    Refused,
    TooLarge,
    Unavailable,
)
from directpv_common.protocol.subjects import Subjects
from directpv_common.protocol.wire import ACCEPTS, DEFLATE, decode, encode, pack, unpack

log = logging.getLogger(__name__)
Q = TypeVar("Q")
R = TypeVar("R")

ERROR_CODE_HEADER: Final = "Nats-Service-Error-Code"
"""Source: NATS ADR-32; nats-py has it in what serves, which who only asks need not load."""
ATTEMPT_SECONDS: Final = 5.0
"""A responder that is killed in the middle says nothing: after so long the same request is sent again."""
FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.25
LEAST_ATTEMPT: Final = 0.5
"""With less time than that, a busy server could not say that nobody is there, and silence would be told instead."""


class Bus:
    """One connection to NATS; made by :func:`connect_bus`."""

    def __init__(self, client: NatsClient, subjects: Subjects) -> None:
        self.client = client
        self.subjects = subjects
        self._reconnected: list[Callable[[], None]] = []
        self.ended = asyncio.Event()
        """Set when the connection is over for good: the server ended it, or we did. Only a new one helps."""
        self._attempts: dict[asyncio.Timeout, str] = {}
        """Attempts that wait for a reply, with what they asked."""
        self._once: set[asyncio.Timeout] = set()
        """Those of them after which nothing is asked again."""
        self._denied: set[str] = set()
        """Subjects on which we may not speak, as the server said."""
        self.on_wait: Callable[[str], None] = lambda why: None
        """Told why a call waits for somebody who answers, once it has waited for a moment; once per call."""

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

    def _end_attempts(self, which: Callable[[str], bool], *, repeated: bool = False) -> None:
        now = asyncio.get_running_loop().time()
        for attempt, subject in self._attempts.items():
            if which(subject) and not attempt.expired() and not (repeated and attempt in self._once):
                attempt.reschedule(now)

    async def reconnected(self) -> None:
        """Tell everyone who asked; called by the client. What was asked before, or its answer, is lost: ask again."""
        log.info("bus reconnected")
        TRAFFIC.reconnects += 1
        self._end_attempts(lambda _: True, repeated=True)
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
        subject: str = "",
    ) -> R:
        """Send ``request`` and return the validated reply; every call of the APIs may be repeated safely.

        Args:
            endpoint: A row of :mod:`directpv_common.protocol.api`.
            request: Its message.
            node: The node to ask, for endpoints of the node API.
            within: Seconds at most; less if the caller of this task waits less.
            attempt: Seconds after which the same request is sent again.
            patient: Whether to wait for a responder that is not there (yet).
            subject: Where to ask; empty: where the API's table says.

        Raises:
            Refused: The server does not let us ask this.
            Unavailable: Nobody answers this subject, for as long as the call could wait.
            DeadlineExceeded: Somebody may have done the work, but no reply came in time.
            DirectPVError: What the responder raised.
        """
        loop = asyncio.get_running_loop()
        limit = min(within, remaining(within))
        begun = loop.time()
        deadline = begun + limit
        subject = subject or self._subject(endpoint, node)
        data = encode(request)
        pause, told = FIRST_PAUSE, False
        while True:
            left = deadline - loop.time()
            try:
                message = await self._request(subject, data, min(attempt, left), left)
                reply = self._reply(endpoint, message)  # that something is unavailable may be an answer, too
            except (Refused, TooLarge):
                raise
            except Unavailable as error:
                if not patient or deadline - loop.time() <= pause + LEAST_ATTEMPT:
                    raise
                if pause >= LONGEST_PAUSE and not told:  # a new leader is there in less
                    self.on_wait(error.message)
                    told = True
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            except _NoReply:
                TRAFFIC.late[endpoint.name] += 1
                if deadline - loop.time() <= pause:
                    raise DeadlineExceeded(f"{subject}: no reply within {limit:.1f} s; it is safe to repeat") from None
            except DirectPVError:
                TRAFFIC.answered(endpoint.name, loop.time() - begun)
                raise
            else:
                TRAFFIC.answered(endpoint.name, loop.time() - begun)
                return reply

    def _subject(self, endpoint: Endpoint[Q, R], node: str | None) -> str:
        if node is None:
            return self.subjects.controller(endpoint.noun, endpoint.verb)
        return self.subjects.node(node, endpoint.noun, endpoint.verb)

    async def _request(self, subject: str, data: bytes, attempt: float, left: float) -> Msg:
        """Send once; turn the client's errors into ours."""
        try:
            async with timeout(attempt) as scope:
                with self._attempt(subject, scope, once=attempt >= left), cancellation_heeded():
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
    def _attempt(self, subject: str, scope: asyncio.Timeout, *, once: bool) -> Iterator[None]:
        self._denied.discard(subject)
        self._attempts[scope] = subject
        if once:
            self._once.add(scope)
        try:
            yield
        finally:
            del self._attempts[scope]
            self._once.discard(scope)

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
            TRAFFIC.dropped["large"] += 1
            log.error(
                "does not fit into one message of the bus; nobody hears it",
                extra={"subject": subject, "bytes": len(data)},
            )
        except (nats.errors.Error, OSError):
            TRAFFIC.dropped["away"] += 1

    async def subscribe(self, subject: str, callback: Callable[[Msg], None]) -> Callable[[], Awaitable[None]]:
        """Call ``callback`` for each message, on the loop: it must only hand over. Return what unsubscribes."""

        async def handle(message: Msg) -> None:
            callback(message)

        subscription = await self.client.subscribe(subject, cb=handle)
        self.client.hand_over(subscription)

        async def unsubscribe() -> None:
            with contextlib.suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()

        return unsubscribe


class _NoReply(Exception):
    """One attempt ended without a reply."""


def _is_for_leader(subject: str) -> bool:
    return ".ctl." in subject


def _who(subject: str) -> str:
    """Say in words who should answer ``subject``."""
    if ".door." in subject:
        return "no controller guards the bus"
    return "no controller leads at the moment" if _is_for_leader(subject) else "the node's agent is not running"


def reraise(error: BaseException) -> DirectPVError:
    """Return ``error`` if it is ours, else an :class:`Internal` that hides its text from the caller."""
    return error if isinstance(error, DirectPVError) else Internal("internal error; the service's log has the details")
