"""``events`` prints the whole history, however slowly it comes, and says so if it breaks off."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from directpv_cli.commands import events as command
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.events import ensure_stream
from directpv_common.protocol.errors import Unavailable
from support.nats import nats_server
from support.node_client import eventually
from support.proxy import Proxy

COUNT = 3_000
LONG_AGO = datetime.now(UTC) - timedelta(hours=1)


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
                await direct.client.publish(
                    "directpv.v1.evt.n1.drive.added", f'{{"number":{number},"t":"{text}"}}'.encode()
                )
            await eventually(lambda: _all_stored(direct), "all events are in the stream")
            yield bus, proxy


async def _all_stored(bus: Bus) -> bool:
    return (await bus.client.jetstream().stream_info(bus.subjects.stream)).state.messages == COUNT


async def test_a_history_that_comes_slowly_is_printed_to_its_end(
    slow: tuple[Bus, Proxy], capsys: pytest.CaptureFixture[str]
) -> None:
    bus, proxy = slow
    proxy.seconds = 0.7

    await command._follow(bus, LONG_AGO, set(), watch=False, as_json=True)
    assert len(capsys.readouterr().out.splitlines()) == COUNT


async def test_no_history_is_nothing_and_no_error(slow: tuple[Bus, Proxy], capsys: pytest.CaptureFixture[str]) -> None:
    bus, _ = slow
    await command._follow(bus, datetime.now(UTC) + timedelta(hours=1), set(), watch=False, as_json=True)
    assert capsys.readouterr().out == ""


async def test_a_history_that_breaks_off_is_an_error(slow: tuple[Bus, Proxy], monkeypatch: pytest.MonkeyPatch) -> None:
    bus, proxy = slow
    monkeypatch.setattr(command, "STALL_SECONDS", 1.0)
    monkeypatch.setattr(command, "_print", lambda *_, **__: proxy.stall())

    with pytest.raises(Unavailable, match="broke off"):
        await command._follow(bus, LONG_AGO, set(), watch=False, as_json=True)
