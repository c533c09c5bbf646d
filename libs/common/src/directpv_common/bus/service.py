"""Serves an API as a NATS micro service: ``nats micro ls | info | stats`` show it (ADR-32)."""

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from itertools import islice
from typing import Any, Final

from directpv_common.bus import lean_nats  # noqa: F401
from directpv_common.calls.scopes import timeout

# isort: split
import msgspec
import nats.errors
from nats.micro import add_service
from nats.micro.request import Request
from nats.micro.service import EndpointStats, Service, ServiceConfig

from directpv_common import __version__
from directpv_common.bus.account import Account
from directpv_common.bus.bus import Bus, reraise
from directpv_common.calls.context import TRACE_HEADER, call_context, note, within_from
from directpv_common.process.lifecycle import InFlight
from directpv_common.protocol.api import Endpoint
from directpv_common.protocol.errors import Busy, DirectPVError, Failure, TooLarge
from directpv_common.protocol.wire import ACCEPTS, DEFLATE, PACKED, decode, encode, pack, unpack

log = logging.getLogger(__name__)

Handler = Callable[[Any], Awaitable[object]]
Handlers = Mapping[Endpoint[Any, Any], Handler]

MAX_RUNNING: Final = 4096
"""Calls at once; more are answered with :class:`Busy`, which callers repeat."""
DRAIN_SECONDS: Final = 5.0
TEXT_AT_MOST: Final = 16_384
"""Characters of a text that is sent with a refusal."""
DETAILS_AT_MOST: Final = 16


@contextlib.asynccontextmanager
async def serve(
    bus: Bus,
    *,
    name: str,
    description: str,
    handlers: Handlers,
    queue: str,
    node: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> AsyncIterator[None]:
    """Answer ``handlers`` while the block runs; then stop taking calls and let running ones end.

    Args:
        bus: Where to serve.
        name: Service name, ``[A-Za-z0-9_-]+``.
        description: One line for ``nats micro info``.
        handlers: What to call per endpoint, with the decoded request; each call runs in a task of its own.
        queue: Queue group. Must be this process's own: calls must never be routed to a frozen twin.
        node: Node name, for the node API.
        metadata: Shown by ``nats micro info``.
    """
    dispatcher = Dispatcher()
    config = ServiceConfig(
        name=name,
        version=__version__,
        description=description,
        metadata=dict(metadata or {}),
        queue_group=queue,
        stats_handler=dispatcher.tell,
    )
    service = await add_service(bus.client, config)
    try:
        for endpoint, handler in handlers.items():
            subjects = bus.subjects
            subject = (
                subjects.controller(endpoint.noun, endpoint.verb)
                if node is None
                else subjects.node(node, endpoint.noun, endpoint.verb)
            )
            await service.add_endpoint(
                name=endpoint.name, subject=subject, handler=dispatcher.accept(endpoint, handler)
            )
        for served in service._endpoints:
            bus.client.hand_over(served._subscription)
        await bus.client.flush()
        yield
    finally:
        await _stop(bus, service)
        await dispatcher.drain(DRAIN_SECONDS)


async def _stop(bus: Bus, service: Service) -> None:
    """Take no more calls, even if the bus is away: two that serve the same would both be refused to answer by NATS."""
    heard = [each._subscription for each in service._endpoints] + [*service._subscriptions.values()]
    try:
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            async with timeout(DRAIN_SECONDS):
                await service.stop()
    finally:
        await bus.client.let_go(heard)


class Dispatcher:
    """Hands each request to a task of its own, because the client runs one handler of an endpoint after another."""

    def __init__(self) -> None:
        self._in_flight = InFlight()
        self._tasks: set[asyncio.Task[None]] = set()
        self._accounts: defaultdict[str, Account] = defaultdict(Account)
        self._large = asyncio.Lock()

    def tell(self, stats: EndpointStats) -> dict[str, int]:
        """Correct what the library counted, which is the hand-over alone; see :meth:`Account.tell`."""
        return self._accounts[stats.name].tell(stats)

    def accept(self, endpoint: Endpoint[Any, Any], handler: Handler) -> Callable[[Request], Awaitable[None]]:
        """Return what the micro service calls; it only hands over."""

        async def accept(request: Request) -> None:
            task = asyncio.create_task(self._answer(endpoint, handler, request), name=endpoint.name)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return accept

    async def drain(self, within: float) -> None:
        """Wait for running calls, then cancel what is left."""
        await self._in_flight.drain(within)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer(self, endpoint: Endpoint[Any, Any], handler: Handler, request: Request) -> None:
        begun = time.monotonic()
        headers = request.headers
        with (
            self._in_flight.call(),
            self._accounts[endpoint.name].work() as work,
            call_context(
                within=within_from(headers), traceparent=(headers or {}).get(TRACE_HEADER), name=endpoint.name
            ),
        ):
            try:
                if self._in_flight.running > MAX_RUNNING:
                    raise Busy(f"{MAX_RUNNING} calls are running; repeat a little later")
                reply = encode(await handler(await self._read(endpoint, request)))
            except Unanswered as silence:
                work.error = f"left unanswered: {silence}"[:TEXT_AT_MOST]
                log.info("left unanswered", extra={"endpoint": endpoint.name, "cause": str(silence)})
            except Exception as error:
                work.error = await self._refuse(endpoint, request, error, time.monotonic() - begun)
                note(error=work.error)
            else:
                log.debug("served", extra={"endpoint": endpoint.name, "seconds": time.monotonic() - begun})
                work.error = await self._reply(endpoint, request, reply, time.monotonic() - begun)

    async def _read(self, endpoint: Endpoint[Any, Any], request: Request) -> object:
        """Return the request, checked; of large ones one in each turn of the loop, for each takes milliseconds."""
        headers = request.headers
        if PACKED not in (headers or {}):
            return decode(request.data, endpoint.request)
        async with self._large:
            large = decode(unpack(request.data, headers), endpoint.request)
            await asyncio.sleep(0)
        return large

    async def _reply(self, endpoint: Endpoint[Any, Any], request: Request, reply: bytes, seconds: float) -> str:
        """Send the reply, packed if the caller understands that; one that does not fit is an answer of its own.

        Returns why it was refused, or an empty string.
        """
        headers: dict[str, str] = {}
        if (request.headers or {}).get(ACCEPTS) == DEFLATE:
            reply = pack(reply, headers)
        try:
            await _send(request.respond(reply, headers=headers or None))
        except nats.errors.MaxPayloadError:
            error = TooLarge(
                f"{endpoint.name}: the reply does not fit into one message of the bus; ask for less at a time"
            )
            return await self._refuse(endpoint, request, error, seconds)
        return ""

    @staticmethod
    async def _refuse(endpoint: Endpoint[Any, Any], request: Request, error: Exception, seconds: float) -> str:
        """Send why not, and return it."""
        failure = _bounded(reraise(error).as_failure())
        known = isinstance(error, DirectPVError)
        log.log(
            logging.INFO if known else logging.ERROR,
            "refused",
            extra={"endpoint": endpoint.name, "reason": failure.reason, "error": str(error), "seconds": seconds},
            exc_info=None if known else error,
        )
        description = " ".join(failure.message.split())[:200].encode("ascii", "replace").decode()
        told = f"{failure.reason}: {description}"
        await _send(request.respond_error(str(failure.code), told, data=encode(failure)))
        return told


def _bounded(failure: Failure) -> Failure:
    """Return the failure with texts that fit into a message, whatever a name or a path was."""
    details = {
        key[:TEXT_AT_MOST]: text[:TEXT_AT_MOST] for key, text in islice(failure.details.items(), DETAILS_AT_MOST)
    }
    return msgspec.structs.replace(failure, message=failure.message[:TEXT_AT_MOST], details=details)


class Unanswered(Exception):
    """Raised by a handler that must not reply, for instance because it leads no longer: the caller asks again."""


async def _send(sending: Awaitable[None]) -> None:
    """Reply; a caller that cannot be reached repeats its call.

    Raises:
        MaxPayloadError: It is larger than the server takes.
    """
    try:
        await sending
    except nats.errors.MaxPayloadError:
        raise
    except (nats.errors.Error, OSError, ValueError) as error:
        log.warning("reply lost", extra={"error": str(error) or type(error).__name__})
