"""``events`` prints the whole history in order, however slowly it comes, and says so if it breaks off."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from nats.errors import Error

from directpv_cli.commands.looking import events as command
from directpv_cli.commands.looking import history
from directpv_cli.reading.event_filter import EventFilter
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.events import ensure_stream
from directpv_common.protocol.errors import Unavailable
from support.nats import nats_server
from support.node_client import eventually
from support.proxy import Proxy

COUNT = 3_000
LONG_AGO = datetime.now(UTC) - timedelta(hours=1)


def event(number: int, text: str = "", **facts: object) -> bytes:
    """The number-th event, later than those with a smaller number."""
    told = {
        "specversion": "1.0",
        "id": f"{number}-{time.time_ns()}",
        "source": "/directpv/n1",
        "type": "io.min.directpv.drive.added",
        "subject": f"drive-{number}",
        "time": f"2026-11-30T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.000Z",
        "data": {"text": text},
        **facts,
    }
    return json.dumps(told).encode()


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[tuple[Bus, Proxy]]:
    """A bus with so many events, behind a way that is slow for what is asked."""
    with nats_server(tmp_path / "nats") as server:
        proxy = Proxy(int(server.url.rpartition(":")[2]))
        async with (
            connect_bus(server.url, name="test", prefix="directpv.v1") as direct,
            proxy.listening() as port,
            connect_bus(f"nats://127.0.0.1:{port}", name="test", prefix="directpv.v1") as bus,
        ):
            await ensure_stream(direct)
            text = "x" * 2_000
            for number in range(COUNT):
                await direct.client.publish("directpv.v1.evt.n1.drive.added", event(number, text))
            await eventually(lambda: _all_stored(direct), "all events are in the stream")
            yield bus, proxy


async def _all_stored(bus: Bus) -> bool:
    return (await bus.client.jetstream().stream_info(bus.subjects.stream)).state.messages == COUNT


async def test_a_history_that_comes_slowly_is_printed_to_its_end(
    slow: tuple[Bus, Proxy], capsys: pytest.CaptureFixture[str]
) -> None:
    bus, proxy = slow
    proxy.seconds = 0.7

    await command.show(bus, LONG_AGO, EventFilter(), watch=False, as_json=True)
    assert len(capsys.readouterr().out.splitlines()) == COUNT


async def test_no_history_is_nothing_and_no_error(slow: tuple[Bus, Proxy], capsys: pytest.CaptureFixture[str]) -> None:
    bus, _ = slow
    await command.show(bus, datetime.now(UTC) + timedelta(hours=1), EventFilter(), watch=False, as_json=True)
    assert capsys.readouterr().out == ""


async def test_a_history_that_breaks_off_is_an_error(slow: tuple[Bus, Proxy], monkeypatch: pytest.MonkeyPatch) -> None:
    bus, proxy = slow
    monkeypatch.setattr(history, "STALL_SECONDS", 1.0)
    read = history._read
    monkeypatch.setattr(history, "_read", lambda *what: (proxy.stall(), read(*what))[1])

    with pytest.raises(Unavailable, match="broke off"):
        await command.show(bus, LONG_AGO, EventFilter(), watch=False, as_json=True)


async def test_events_of_all_nodes_are_shown_in_the_order_of_their_times_whenever_they_came(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with nats_server(tmp_path / "nats") as server:
        async with connect_bus(server.url, name="test", prefix="directpv.v1") as bus:
            await ensure_stream(bus)
            for number in (5, 1, 4, 2, 3):
                subject = f"directpv.v1.evt.n{number}.drive.added"
                await bus.client.jetstream().publish(subject, event(number, source=f"/directpv/n{number}"))
            await command.show(bus, LONG_AGO, EventFilter(), watch=False, as_json=False)
            lines = capsys.readouterr().out.splitlines()
            assert [line.split()[1] for line in lines] == ["n1", "n2", "n3", "n4", "n5"]
            await command.show(bus, LONG_AGO, EventFilter.of(["n{2...3}"], (), None, None), watch=False, as_json=False)
            assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["n2", "n3"]


async def test_who_read_events_holds_nothing_of_that_on_a_bus_that_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The console reads them again and again, on one bus."""
    with nats_server(tmp_path / "nats") as server:
        async with connect_bus(server.url, name="test", prefix="directpv.v1") as bus:
            await ensure_stream(bus)
            await bus.client.jetstream().publish("directpv.v1.evt.n1.drive.added", event(1))
            before = set(bus.client._subs), asyncio.all_tasks()
            await command.show(bus, LONG_AGO, EventFilter(), watch=False, as_json=False)
            watching = asyncio.create_task(command.show(bus, LONG_AGO, EventFilter(), watch=True, as_json=False))
            lines: list[str] = []

            async def both() -> bool:
                lines.extend(capsys.readouterr().out.splitlines())
                return len(lines) == 2

            await eventually(both, "both have read it")
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await eventually(lambda: _are(bus, before), "nothing listens any more, and no task is left")


async def _are(bus: Bus, before: tuple[set[int], set["asyncio.Task[object]"]]) -> bool:
    return set(bus.client._subs) == before[0] and asyncio.all_tasks() <= before[1]


async def test_watching_goes_on_with_what_comes_after_the_history(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with nats_server(tmp_path / "nats") as server:
        async with connect_bus(server.url, name="test", prefix="directpv.v1") as bus:
            await ensure_stream(bus)
            publish = bus.client.jetstream().publish
            await publish("directpv.v1.evt.n1.drive.added", event(1))
            watching = asyncio.create_task(command.show(bus, LONG_AGO, EventFilter(), watch=True, as_json=False))
            seen: list[str] = []

            async def shown(count: int) -> bool:
                seen.extend(capsys.readouterr().out.splitlines())
                return len(seen) == count

            await eventually(lambda: shown(1), "the history is shown")
            await publish("directpv.v1.evt.n1.drive.lost", event(2, type="io.min.directpv.drive.lost"))
            await eventually(lambda: shown(2), "and what came then")
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    assert "drive.lost" in seen[1]


@pytest.mark.timeout(150)
async def test_watching_goes_on_after_the_server_was_away_which_has_forgotten_who_watched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with nats_server(tmp_path / "nats") as server:
        async with connect_bus(server.url, name="test", prefix="directpv.v1") as bus:
            await ensure_stream(bus)
            await bus.client.jetstream().publish("directpv.v1.evt.n1.drive.added", event(1))
            watching = asyncio.create_task(command.show(bus, LONG_AGO, EventFilter(), watch=True, as_json=False))
            seen: list[str] = []

            async def shown(count: int) -> bool:
                seen.extend(capsys.readouterr().out.splitlines())
                return len(seen) == count

            async def told() -> bool:
                """A server that has just started does not answer for its stream yet."""
                with contextlib.suppress(Error):
                    await bus.client.jetstream().publish("directpv.v1.evt.n1.drive.lost", event(2))
                    return True
                return False

            await eventually(lambda: shown(1), "the history is shown")
            server.kill()
            server.start()
            await eventually(told, "it is told of another event")
            await eventually(lambda: shown(2), "that is shown, too, and the first one not again", 90)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
