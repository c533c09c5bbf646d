"""``describe`` shows what it can, and says what it cannot."""

from pathlib import Path

import pytest

from directpv_cli.commands import describe
from directpv_cli.reading.event_filter import EventFilter
from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.events import ensure_stream
from support.nats import nats_server

EVERYTHING = EventFilter.of(None, (), None, None)


@pytest.mark.parametrize("streams", [False, True], ids=["no stream", "an empty stream"])
async def test_events_that_cannot_be_read_are_not_taken_for_none(
    streams: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with nats_server(tmp_path / "nats", streams=streams) as server:
        async with connect_bus(server.url, name="test", prefix="directpv.v1") as bus:
            if streams:
                await ensure_stream(bus)
            found = await describe.lately(bus, EVERYTHING)

    describe._events(found)
    shown = "".join(capsys.readouterr())
    assert ("cannot be read" in shown, "Last events (0)" in shown) == (not streams, streams)
