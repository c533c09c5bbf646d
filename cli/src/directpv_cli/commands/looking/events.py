"""``events``: history and live tap of what happens to nodes, drives and volumes."""

import contextlib
import sys
import time
from datetime import UTC, datetime

from directpv_cli.commands.addresses import resolved
from directpv_cli.commands.looking import history
from directpv_cli.reaching.session import run
from directpv_cli.reading.event_filter import EventFilter
from directpv_cli.reading.words import Words, age
from directpv_cli.showing.event_lines import event_line
from directpv_cli.showing.terminal.documents import output_format
from directpv_cli.showing.terminal.lines import checked
from directpv_cli.showing.terminal.typed import typeable
from directpv_common.bus.bus import Bus


def events(nodes: Words, drives: Words, volumes: Words, types: Words, *, since: str, watch: bool, output: str) -> None:
    """Print the events of the last ``since``, one line each, oldest first; with ``watch``, then what comes."""
    printer = output_format(output, wide=False)
    begin = datetime.now(UTC) - checked(lambda: age(since))
    checked(lambda: EventFilter.of(nodes, (), volumes, types))

    async def work(bus: Bus) -> None:
        ids = await resolved(bus, drives or ())
        keep = EventFilter.of(nodes, ids, volumes, types)
        await show(bus, begin, keep, watch=watch, as_json=printer is not None)

    with contextlib.suppress(KeyboardInterrupt):
        run(work)


async def show(bus: Bus, begin: datetime, keep: EventFilter, *, watch: bool, as_json: bool) -> None:
    """Print a line per event; JSON as it is on the wire, so that any CloudEvents tool can read it."""
    async for event, data in history.events_since(bus, begin, keep, follow=watch):
        line = data.decode(errors="replace") if as_json else typeable(event_line(event, time.time()))
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
