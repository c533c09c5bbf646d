"""A service that has ended hears nothing any more, whatever the bus was like when it ended."""

import asyncio
from pathlib import Path

import nats.errors
import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus import service
from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import Unavailable
from support.nats import nats_server
from support.node_client import eventually

LOOKS = ("$SRV.PING", "$SRV.INFO.directpv-test", "$SRV.STATS.directpv-test")
"""By which who looks at services finds them; asked twice, NATS lets a service whose answers are limited answer none."""
VOLUME = m.VolumeId(name="pvc-1")


@pytest.mark.parametrize("how", ["silent", "gone"])
async def test_a_service_that_ended_while_the_bus_was_away_is_not_there_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(service, "DRAIN_SECONDS", 0.5)
    answered: list[str] = []

    async def answer(volume: m.VolumeId) -> m.Done:
        answered.append(volume.name)
        return m.Done()

    def serving(bus):
        handlers = {Controller.VOLUME_EXPAND: answer, Controller.VOLUME_DELETE: answer}
        return service.serve(bus, name="directpv-test", description="test", handlers=handlers, queue="one")

    with nats_server(tmp_path / "store") as server:
        async with (
            connect_bus(server.url, name="asks", prefix="directpv.v1") as asker,
            connect_bus(server.url, name="serves", prefix="directpv.v1") as bus,
        ):
            async with serving(bus):
                await asker.call(Controller.VOLUME_DELETE, VOLUME)
                server.freeze() if how == "silent" else server.kill()
            server.thaw() if how == "silent" else server.start()

            async def back() -> bool:
                async with asyncio.timeout(5):
                    await bus.client.flush()
                    await asker.client.flush()
                return True

            await eventually(back, "both are connected again")
            with pytest.raises(Unavailable):
                await asker.call(Controller.VOLUME_DELETE, VOLUME, within=1, patient=False)
            for look in LOOKS:
                with pytest.raises(nats.errors.NoRespondersError):
                    await asker.client.request(look, b"", timeout=5)
            async with serving(bus):
                await asker.call(Controller.VOLUME_DELETE, VOLUME)
            assert answered == ["pvc-1"] * 2, "by the one that serves now, and by no other"
