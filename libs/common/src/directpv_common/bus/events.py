"""Events: CloudEvents 1.0 in a JetStream stream, for people and for the live tap; nothing depends on them.

``nats sub 'directpv.v1.evt.>'`` shows them; the stream replays the last days.
Source: CloudEvents 1.0 specification, JSON format, section 3.1.
"""

import asyncio
import contextlib
import itertools
import logging
import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from directpv_common.bus import lean_nats  # noqa: F401

# isort: split
import nats.errors
from nats.js.api import RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError

from directpv_common.bus.bus import Bus
from directpv_common.bus.cloud_event import TYPE_PREFIX, CloudEvent
from directpv_common.bus.nats_client import cancellation_heeded
from directpv_common.calls.context import trace
from directpv_common.process.clock import now_rfc3339_ms
from directpv_common.process.traffic import TRAFFIC
from directpv_common.protocol.wire import encode

log = logging.getLogger(__name__)

BUFFER: Final = 10_000
MAX_AGE_SECONDS: Final = 7 * 24 * 3600
MAX_BYTES: Final = 256 * 1024 * 1024
REPLICAS: Final = 3
NO_CLUSTER: Final = 10074
"""JetStream's error code for replicas on a server that has no others (nats-server, server/errors.json)."""
ACK_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 0.5
LINGER_SECONDS: Final = 0.01
"""Events of so short a time go together."""
BATCH: Final = 256
ROOM_FOR_HEADERS: Final = 1024
_Waiting = tuple[str, "CloudEvent"]


class Events:
    """Publishes in the background: an event never delays or fails the work that it tells of."""

    def __init__(self, bus: Bus, node: str) -> None:
        """``node``: the node's name, or ``controller``."""
        self._bus = bus
        self._node = node
        self._waiting: deque[tuple[str, CloudEvent]] = deque(maxlen=BUFFER)
        self._wake = asyncio.Event()
        self.dropped = 0
        """Events that were pushed out of a full buffer."""
        self._listeners: list[Callable[[CloudEvent], None]] = []

    def emit(self, noun: str, kind: str, subject: str, **data: Any) -> None:
        """Publish ``<noun>.<kind>`` about ``subject`` soon; when the bus is away for long, the oldest are dropped."""
        span = trace()
        event = CloudEvent(
            id=f"{random.getrandbits(96):024x}",
            source=f"/directpv/{self._node}",
            type=f"{TYPE_PREFIX}{noun}.{kind}",
            subject=subject,
            time=now_rfc3339_ms(),
            traceparent=span.header if span else "",
            data=data,
        )
        self.dropped += len(self._waiting) == self._waiting.maxlen
        self._waiting.append((self._bus.subjects.event(self._node, noun, kind), event))
        TRAFFIC.buffered = len(self._waiting)
        self._wake.set()
        for listener in self._listeners:
            listener(event)

    @contextlib.contextmanager
    def heard_by(self, listener: Callable[[CloudEvent], None]) -> Iterator[None]:
        """Hand each event to ``listener``, too, while the block runs; it must only hand over."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    async def run(self) -> None:
        """Publish until cancelled; makes the stream if it is missing, and again if it was deleted."""
        await ensure_stream(self._bus)
        while True:
            await self._wake.wait()
            await asyncio.sleep(LINGER_SECONDS)
            self._wake.clear()
            while self._waiting:
                batch = list(itertools.islice(self._waiting, BATCH))
                if await self._publish(batch):
                    self._taken(batch)
                else:
                    await asyncio.sleep(RETRY_SECONDS)
                    await ensure_stream(self._bus)

    def _taken(self, batch: "list[_Waiting]") -> None:
        """Forget what is in the stream; some of it may have been pushed out of a full buffer meanwhile."""
        sent = {id(item) for item in batch}
        while self._waiting and id(self._waiting[0]) in sent:
            self._waiting.popleft()
        TRAFFIC.buffered = len(self._waiting)

    async def _publish(self, batch: "list[_Waiting]") -> bool:
        """Tell whether the whole batch is in the stream.

        Only the last event is acknowledged: the server takes the messages of a connection in order. If that fails, or
        the connection was a new one by then, all are sent again; the stream drops those that it has, by their id.
        """
        client = self._bus.client
        connection = client.stats["reconnects"]
        messages = [(subject, data, event.id) for subject, event in batch if (data := self._data(subject, event))]
        if not messages:
            return True
        try:
            with cancellation_heeded():
                for subject, data, number in messages[:-1]:
                    await client.publish(subject, data, headers={"Nats-Msg-Id": number})
                subject, data, number = messages[-1]
                js = client.jetstream(timeout=ACK_SECONDS)
                await js.publish(subject, data, headers={"Nats-Msg-Id": number})
        except (nats.errors.Error, APIError, OSError) as error:
            log.debug("events not published", extra={"error": str(error) or type(error).__name__})
            return False
        return bool(client.stats["reconnects"] == connection)

    def _data(self, subject: str, event: CloudEvent) -> bytes:
        """Return what is sent; of an event that no message can carry only what it is about, and of none nothing."""
        try:
            data = encode(event)
            if len(data) <= self._bus.client.max_payload - ROOM_FOR_HEADERS:
                return data
            log.warning("event is too large; it is told without its data", extra={"subject": subject})
            return encode(msgspec.structs.replace(event, subject=event.subject[:256], data={"too_large": len(data)}))
        except (TypeError, ValueError) as error:
            log.warning("event cannot be told", extra={"subject": subject, "error": str(error)})
            self.dropped += 1
            return b""


async def ensure_stream(bus: Bus) -> StreamInfo | None:
    """Make the event stream if there is none; return what is there, None if that cannot be known now.

    An operator's own settings are left alone.

    A cluster of servers keeps it three times, so that it outlives one of them; a server by itself keeps it once.
    """
    try:
        with cancellation_heeded():
            try:
                return await _add_stream(bus, REPLICAS)
            except APIError as error:
                if error.err_code != NO_CLUSTER:
                    raise
                return await _add_stream(bus, 1)
    except (nats.errors.Error, APIError, OSError) as error:
        log.debug("event stream not made", extra={"error": str(error) or type(error).__name__})
        return None


async def _add_stream(bus: Bus, replicas: int) -> StreamInfo:
    config = StreamConfig(
        name=bus.subjects.stream,
        description="DirectPV events (CloudEvents 1.0); deleting it loses history only",
        subjects=[bus.subjects.all_events],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_age=MAX_AGE_SECONDS,
        max_bytes=MAX_BYTES,
        num_replicas=replicas,
    )
    return await bus.client.jetstream(timeout=ACK_SECONDS).add_stream(config)
