"""What is too large, or cannot be written, is an answer, an event or an error of its own, and silence never."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import nats.errors
import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.events import Events
from directpv_common.bus.service import Handlers, serve
from directpv_common.process.lifecycle import background
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import NotFound, TooLarge
from support.nats import nats_server

VOLUME = m.VolumeId(name="pvc-1")


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    with nats_server(tmp_path / "store") as server:
        async with connect_bus(server.url, name="test", prefix="directpv.v1") as connected:
            yield connected


def serving(bus: Bus, handlers: Handlers):
    return serve(bus, name="directpv-test", description="test", handlers=handlers, queue="one")


def volumes(count: int, text: str) -> m.VolumePage:
    fsuuid = "11111111-2222-3333-4444-555555555555"
    record = m.VolumeRecord(name="v", fsuuid=fsuuid, capacity=1, parameters={"text": text})
    return m.VolumePage(volumes=(m.VolumeInfo(record=record, node="n1"),) * count)


async def test_a_reply_of_several_megabytes_of_text_arrives(bus: Bus) -> None:
    page = volumes(20_000, "a storage class's parameter, the same for each")

    async def listed(_: m.ListVolumes) -> m.VolumePage:
        return page

    async with serving(bus, {Controller.VOLUME_LIST: listed}):
        assert await bus.call(Controller.VOLUME_LIST, m.ListVolumes()) == page


async def test_a_reply_that_fits_into_no_message_is_answered_as_such_at_once(bus: Bus) -> None:
    page = volumes(1, os.urandom(1_500_000).hex())

    async def listed(_: m.ListVolumes) -> m.VolumePage:
        return page

    async with serving(bus, {Controller.VOLUME_LIST: listed}):
        with pytest.raises(TooLarge, match="ask for less"):
            await bus.call(Controller.VOLUME_LIST, m.ListVolumes(), within=30)


async def test_a_request_for_any_of_ten_thousand_nodes_arrives(bus: Bus) -> None:
    keys = ("node", "rack", "zone", "region", "identity")
    terms = tuple(
        {f"directpv.min.io/{key}": f"{key}-{number:06}.example.com" for key in keys} for number in range(10_000)
    )
    seen: list[int] = []

    async def create(request: m.CreateVolume) -> m.VolumeInfo:
        seen.append(len(request.requisite))
        return volumes(1, "").volumes[0]

    async with serving(bus, {Controller.VOLUME_CREATE: create}):
        await bus.call(Controller.VOLUME_CREATE, m.CreateVolume(name="v", required=1, requisite=terms), within=30)
    assert seen == [10_000]


async def test_a_refusal_with_a_very_long_text_arrives_cut(bus: Bus) -> None:
    async def missing(_: m.VolumeId) -> m.Done:
        raise NotFound("x" * 3_000_000, name="y" * 3_000_000)

    async with serving(bus, {Controller.VOLUME_DELETE: missing}):
        with pytest.raises(NotFound, match=r"^x{10000}"):
            await bus.call(Controller.VOLUME_DELETE, VOLUME)


async def test_headers_count_towards_what_a_server_takes_and_do_not_cost_the_connection(bus: Bus) -> None:
    limit = bus.client.max_payload
    with pytest.raises(nats.errors.MaxPayloadError):
        await bus.client.publish("a.subject", bytes(limit - 10), headers={"Some-Header": "with a value"})
    await bus.client.publish("a.subject", bytes(limit - 200), headers={"Some-Header": "with a value"})
    await bus.client.flush()

    assert bus.connected


async def test_an_event_that_no_message_can_carry_is_told_without_its_data_and_holds_up_no_other(bus: Bus) -> None:
    events = Events(bus, "n1")
    async with background(events.run()):
        events.emit("drive", "added", "first", text="x" * 3_000_000)
        events.emit("drive", "added", "second", what=object())
        events.emit("drive", "added", "third", size=5)
        async with asyncio.timeout(20):
            while (found := await _stored(bus)) is None or len(found) < 2:
                await asyncio.sleep(0.05)

    assert [event["subject"] for event in found] == ["first", "third"]
    assert found[0]["data"]["too_large"] > 3_000_000
    assert events.dropped == 1


async def _stored(bus: Bus) -> list[dict] | None:
    js = bus.client.jetstream()
    try:
        last = (await js.stream_info(bus.subjects.stream)).state.last_seq
        return [json.loads((await js.get_msg(bus.subjects.stream, seq)).data) for seq in range(1, last + 1)]
    except Exception:
        return None


async def test_a_publication_that_fits_into_no_message_is_told_and_the_next_goes_out(
    bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[bytes] = []
    await bus.subscribe("test.sizes", lambda message: heard.append(message.data))

    await bus.publish("test.sizes", {"text": "x" * 2_000_000})
    await bus.publish("test.sizes", {"text": "small"})
    await bus.client.flush()

    async with asyncio.timeout(5):
        while not heard:
            await asyncio.sleep(0.01)
    assert heard == [b'{"text":"small"}']
    (told,) = [record for record in caplog.records if "does not fit" in record.message]
    assert getattr(told, "subject", "") == "test.sizes"
