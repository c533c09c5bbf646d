"""The events that the stream holds, and those that come: all that JetStream is asked."""

import asyncio
import contextlib
import heapq
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final

from directpv_cli.reading.event_filter import EventFilter
from directpv_common.bus.bus import Bus
from directpv_common.bus.cloud_event import CloudEvent
from directpv_common.protocol.errors import InvalidRequest, Unavailable
from directpv_common.protocol.wire import decode

STALL_SECONDS: Final = 30.0
"""An event of the history that does not come for so long is an error: silence is not the end."""
SORTED_AT_MOST: Final = 100_000
"""Events that are put in order at a time; an agent may tell hours later what happened while the bus was away."""

Told = tuple[CloudEvent, bytes]
"""An event, and as it is on the wire."""


async def history(bus: Bus, begin: datetime, keep: EventFilter) -> list[Told]:
    """Return the last events that ``keep`` means since ``begin``, in the order of their times."""
    return [told async for told in events_since(bus, begin, keep, follow=False)]


async def events_since(bus: Bus, begin: datetime, keep: EventFilter, *, follow: bool) -> AsyncIterator[Told]:
    """Yield what the stream holds since ``begin``, in the order of its times; with ``follow``, then what comes.

    Raises:
        Unavailable: The stream cannot be read, or its history broke off.
    """
    stream, left, last = await _opened(bus, begin)
    try:
        async for told in _stored(stream, keep, left, last):
            yield told
        while follow:
            told_now = _read((await _next(stream, None)).data, keep)
            if told_now is not None:
                yield told_now
    finally:
        await _closed(stream)


async def _stored(stream: Any, keep: EventFilter, left: bool, last: int) -> AsyncIterator[Told]:
    """Yield what the stream held when it was asked; ``last``: number of the last of it."""
    waiting: list[tuple[str, int, Told]] = []
    number = 0
    while left:
        message = await _next(stream, STALL_SECONDS)
        left = message.metadata.num_pending and message.metadata.sequence.stream < last
        told = _read(message.data, keep)
        if told is not None:
            number += 1
            heapq.heappush(waiting, (told[0].time, number, told))
        if len(waiting) > SORTED_AT_MOST:
            yield heapq.heappop(waiting)[2]
        await asyncio.sleep(0)
    while waiting:
        yield heapq.heappop(waiting)[2]


async def _closed(stream: Any) -> None:
    """Hear nothing more: what comes would be kept for as long as the bus is held, and be made anew after an outage."""
    from nats.errors import Error

    with contextlib.suppress(Error, OSError):
        await stream.unsubscribe()


async def _opened(bus: Bus, begin: datetime) -> tuple[Any, bool, int]:
    """Return what gives the messages, whether there are any, and the last one's number."""
    from nats.errors import Error
    from nats.js.api import ConsumerConfig, DeliverPolicy

    js = bus.client.jetstream()
    config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=begin)
    try:
        last = (await js.stream_info(bus.subjects.stream)).state.last_seq
        stream = await js.subscribe(
            bus.subjects.all_events, stream=bus.subjects.stream, ordered_consumer=True, config=config
        )
        # Where a server has forgotten the consumer, nats-py makes it again, by this configuration, to begin at the
        # number of the next event; a server refuses that if a time is named as well.
        config.opt_start_time = None
        try:
            consumer = await stream.consumer_info()
        except BaseException:
            await _closed(stream)
            raise
    except Error as error:
        raise Unavailable(f"the event stream {bus.subjects.stream} cannot be read: {error}") from error
    begun = consumer.delivered.consumer_seq if consumer.delivered else 0
    return stream, bool(last and (consumer.num_pending or begun)), last


async def _next(stream: Any, within: float | None) -> Any:
    from nats.errors import TimeoutError as NoMessage

    try:
        return await stream.next_msg(timeout=within)
    except NoMessage:
        raise Unavailable(f"the history broke off: nothing came for {within:.0f} s; repeat") from None


def _read(data: bytes, keep: EventFilter) -> Told | None:
    """Return the event, if it is one and is meant."""
    try:
        event = decode(data, CloudEvent)
    except InvalidRequest:
        return None
    return (event, data) if keep.match(event) else None
