"""``events``: history and live tap of what happens to drives and volumes."""

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Any, Final

from directpv_cli.reaching.session import run
from directpv_cli.reading.words import Words, age, expanded
from directpv_cli.showing import tables
from directpv_cli.showing.documents import output_format
from directpv_cli.showing.lines import checked
from directpv_common.bus.bus import Bus
from directpv_common.bus.events import TYPE_PREFIX, CloudEvent
from directpv_common.protocol.errors import InvalidRequest, Unavailable
from directpv_common.protocol.subjects import node_token
from directpv_common.protocol.wire import decode

STALL_SECONDS: Final = 30.0
"""An event of the history that does not come for so long is an error: silence is not the end."""


def events(nodes: Words, *, since: str, watch: bool, output: str) -> None:
    """Print the events of the last ``since``, one line each, oldest first; with ``watch``, then what comes."""
    printer = output_format(output, wide=False)
    begin = datetime.now(UTC) - checked(lambda: age(since))
    tokens = {node_token(node) for node in checked(lambda: expanded(nodes))}
    with contextlib.suppress(KeyboardInterrupt):
        run(lambda bus: _follow(bus, begin, tokens, watch=watch, as_json=printer is not None))


async def _follow(bus: Bus, begin: datetime, tokens: set[str], *, watch: bool, as_json: bool) -> None:
    from nats.errors import Error
    from nats.errors import TimeoutError as NoMessage
    from nats.js.api import ConsumerConfig, DeliverPolicy

    js = bus.client.jetstream()
    config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=begin)
    try:
        last = (await js.stream_info(bus.subjects.stream)).state.last_seq
        stream = await js.subscribe(
            bus.subjects.all_events, stream=bus.subjects.stream, ordered_consumer=True, config=config
        )
        consumer = await stream.consumer_info()
    except Error as error:
        raise Unavailable(f"the event stream {bus.subjects.stream} cannot be read: {error}") from error
    begun = consumer.delivered.consumer_seq if consumer.delivered else 0
    left = last and (consumer.num_pending or begun)
    while watch or left:
        try:
            message = await stream.next_msg(timeout=None if watch else STALL_SECONDS)
        except NoMessage:
            raise Unavailable(f"the history broke off: nothing came for {STALL_SECONDS:.0f} s; repeat") from None
        left = message.metadata.num_pending and message.metadata.sequence.stream < last
        token = message.subject.removeprefix(f"{bus.subjects.prefix}.evt.").split(".")[0]
        if not tokens or token in tokens:
            _print(message.data, as_json=as_json)
        await asyncio.sleep(0)


def _print(data: bytes, *, as_json: bool) -> None:
    """One line per event; JSON as it is on the wire, so that any CloudEvents tool can read it."""
    if as_json:
        print(data.decode(errors="replace"), flush=True)  # noqa: T201
        return
    try:
        event = decode(data, CloudEvent)
    except InvalidRequest:
        return
    facts = "  ".join(f"{key}={_value(key, value)}" for key, value in event.data.items())
    kind = event.type.removeprefix(TYPE_PREFIX)
    print(f"{event.time}  {event.source.rpartition('/')[2]:<12}  {kind:<18}  {event.subject}  {facts}", flush=True)  # noqa: T201


def _value(key: str, value: Any) -> str:
    sized = isinstance(value, int) and key in {"size", "capacity", "total", "free"}
    return tables.size(value) if sized else str(value)
