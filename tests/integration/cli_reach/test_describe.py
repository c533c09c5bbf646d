"""``describe`` shows what it can, and says what it cannot."""

from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.commands.looking import describe, explain
from directpv_cli.reading.event_filter import EventFilter
from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.events import ensure_stream
from directpv_common.bus.service import serve
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import Unavailable
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


async def test_a_volume_is_not_said_never_to_have_been_when_the_events_cannot_be_read(tmp_path: Path) -> None:
    async def none(_: m.ListVolumes) -> m.VolumePage:
        return m.VolumePage(volumes=())

    with nats_server(tmp_path / "nats", streams=False) as server:
        async with (
            connect_bus(server.url, name="test", prefix="directpv.v1") as bus,
            serve(bus, name="x", description="x", handlers={Controller.VOLUME_LIST: none}, queue="q"),
        ):
            with pytest.raises(Unavailable, match=r"pvc-1.*whether it was refused cannot be read"):
                await explain._volume(bus, "pvc-1")
