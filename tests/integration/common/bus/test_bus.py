"""The bus on a real nats-server: requests, errors, outages, events."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.events import Events
from directpv_common.bus.service import Handlers, Unanswered, serve
from directpv_common.calls.context import call_context, remaining, trace
from directpv_common.process.lifecycle import background
from directpv_common.protocol.api import Controller, Node
from directpv_common.protocol.errors import Busy, DeadlineExceeded, Internal, InvalidRequest, NotFound, Unavailable
from support.nats import NatsServer, nats_server

VOLUME = m.VolumeId(name="pvc-1")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def server(tmp_path: Path):
    with nats_server(tmp_path / "store") as running:
        yield running


@pytest.fixture
async def bus(server: NatsServer) -> AsyncIterator[Bus]:
    async with connect_bus(server.url, name="test", prefix="directpv.v1") as connected:
        yield connected


def serving(bus: Bus, handlers: Handlers, queue: str = "one", node: str | None = None):
    return serve(bus, name="directpv-test", description="test", handlers=handlers, queue=queue, node=node)


async def done(_: object) -> m.Done:
    return m.Done()


async def test_an_error_of_the_responder_is_the_same_error_for_the_caller(bus):
    async def missing(request: m.VolumeId) -> m.Done:
        raise NotFound(f"no volume {request.name}", name=request.name)

    async with serving(bus, {Controller.VOLUME_DELETE: missing}):
        with pytest.raises(NotFound, match="no volume pvc-1") as caught:
            await bus.call(Controller.VOLUME_DELETE, VOLUME)

    assert caught.value.details == {"name": "pvc-1"}


async def test_a_fault_of_the_responder_reaches_the_caller_without_its_text(bus):
    async def broken(_: m.VolumeId) -> m.Done:
        raise KeyError("inner secret")

    async with serving(bus, {Controller.VOLUME_DELETE: broken}):
        with pytest.raises(Internal) as caught:
            await bus.call(Controller.VOLUME_DELETE, VOLUME)

    assert "secret" not in caught.value.message


async def test_a_malformed_request_is_refused_before_the_handler_sees_it(bus):
    called = []

    async def handler(request: m.VolumeId) -> m.Done:
        called.append(request)
        return m.Done()

    async with serving(bus, {Controller.VOLUME_DELETE: handler}):
        with pytest.raises(InvalidRequest) as caught:
            await bus.call(Controller.VOLUME_DELETE, m.VolumeId(name="../etc"))

    assert caught.value.details["field"] == "$.name"
    assert not called


async def test_nobody_there_is_unavailable_and_says_who_is_missing(bus):
    with pytest.raises(Unavailable, match="no controller leads"):
        await bus.call(Controller.VOLUME_DELETE, VOLUME, patient=False)
    with pytest.raises(Unavailable, match="agent is not running"):
        await bus.call(Node.NODE_GET, m.Empty(), node="n1", patient=False)


async def test_a_patient_call_ends_with_its_time(bus):
    # the last attempt may have too little time left for the server to say that nobody is there
    with pytest.raises((Unavailable, DeadlineExceeded)):
        await bus.call(Controller.VOLUME_DELETE, VOLUME, within=0.2)


async def test_a_patient_call_is_answered_by_a_responder_that_comes_later(bus):
    call = asyncio.create_task(bus.call(Controller.VOLUME_DELETE, VOLUME, within=20))
    while not bus.client.stats["out_msgs"]:
        await asyncio.sleep(0.01)

    async with serving(bus, {Controller.VOLUME_DELETE: done}):
        assert await call == m.Done()


async def test_a_patient_call_asks_again_what_a_responder_says_is_not_available_yet(bus):
    asked = []

    async def later(_: m.VolumeId) -> m.Done:
        asked.append(1)
        if len(asked) < 3:
            raise Unavailable("not yet")
        return m.Done()

    async with serving(bus, {Controller.VOLUME_DELETE: later}):
        assert await bus.call(Controller.VOLUME_DELETE, VOLUME, within=20) == m.Done()
        asked.clear()
        with pytest.raises(Unavailable, match="not yet"):
            await bus.call(Controller.VOLUME_DELETE, VOLUME, patient=False)


async def test_a_silent_responder_costs_one_attempt_not_the_whole_call(bus):
    asked = []

    async def silent_at_first(_: m.VolumeId) -> m.Done:
        asked.append(1)
        if len(asked) == 1:
            raise Unanswered
        return m.Done()

    async with serving(bus, {Controller.VOLUME_DELETE: silent_at_first}):
        assert await bus.call(Controller.VOLUME_DELETE, VOLUME, within=20, attempt=0.1) == m.Done()


async def test_no_reply_in_time_is_deadline_exceeded(bus):
    async def never(_: m.VolumeId) -> m.Done:
        raise Unanswered

    async with serving(bus, {Controller.VOLUME_DELETE: never}):
        with pytest.raises(DeadlineExceeded, match="safe to repeat"):
            await bus.call(Controller.VOLUME_DELETE, VOLUME, within=0.2)


async def test_a_slow_call_does_not_hold_up_the_next_of_the_same_endpoint(bus):
    release = asyncio.Event()

    async def slow(request: m.VolumeId) -> m.Done:
        if request == VOLUME:
            await release.wait()
        return m.Done()

    async with serving(bus, {Controller.VOLUME_DELETE: slow}):
        blocked = asyncio.create_task(bus.call(Controller.VOLUME_DELETE, VOLUME))
        await bus.call(Controller.VOLUME_DELETE, m.VolumeId(name="other"))
        assert not blocked.done()
        release.set()
        await blocked


async def test_deadline_and_trace_reach_the_responder(bus):
    seen = []

    async def look(_: m.VolumeId) -> m.Done:
        span = trace()
        assert span is not None
        seen.append((span.trace_id, remaining(60.0)))
        return m.Done()

    async with serving(bus, {Controller.VOLUME_DELETE: look}):
        with call_context(within=7.0, traceparent=PARENT):
            await bus.call(Controller.VOLUME_DELETE, VOLUME)

    assert seen[0][0] == "0af7651916cd43dd8448eb211c80319c"
    assert 1 < seen[0][1] <= 7


async def test_calls_that_run_when_serving_ends_are_answered(bus):
    begun, release = asyncio.Event(), asyncio.Event()

    async def slow(_: m.VolumeId) -> m.Done:
        begun.set()
        await release.wait()
        return m.Done()

    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(serving(bus, {Controller.VOLUME_DELETE: slow}))
        call = asyncio.create_task(bus.call(Controller.VOLUME_DELETE, VOLUME))
        await begun.wait()
        asyncio.get_running_loop().call_later(0.05, release.set)
    assert await call == m.Done()


async def test_an_outage_of_the_server_is_survived_and_told(server, bus):
    resynced = asyncio.Event()
    bus.on_reconnect(resynced.set)

    async with serving(bus, {Controller.VOLUME_DELETE: done}):
        server.kill()
        call = asyncio.create_task(bus.call(Controller.VOLUME_DELETE, VOLUME, within=30, attempt=1))
        server.start()

        assert await call == m.Done()
        async with asyncio.timeout(10):
            await resynced.wait()


async def test_a_server_that_is_not_there_is_unavailable_and_named(server):
    server.kill()

    with pytest.raises(Unavailable, match=server.url):
        async with connect_bus(server.url, name="test", prefix="p", within=0.1):
            pass


async def test_operators_see_the_service_with_its_subjects(bus):
    async with serving(bus, {Node.VOLUME_STAGE: done}, node="n.1"):
        reply = await bus.client.request("$SRV.INFO.directpv-test", b"", timeout=5)

    endpoints = json.loads(reply.data)["endpoints"]
    assert [(e["name"], e["subject"]) for e in endpoints] == [("volume-stage", "directpv.v1.node.n_1.volume.stage")]


async def test_a_busy_object_is_reported_as_busy(bus):
    async def busy(_: m.VolumeId) -> m.Done:
        raise Busy("pvc-1: being deleted")

    async with serving(bus, {Controller.VOLUME_DELETE: busy}):
        with pytest.raises(Busy):
            await bus.call(Controller.VOLUME_DELETE, VOLUME)


# ---- events -----------------------------------------------------------------------------------------------------


async def stored(bus: Bus, count: int) -> list[dict]:
    """Return the first ``count`` events of the stream, as a late reader gets them."""
    found: list[dict] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            with contextlib.suppress(Exception):
                js = bus.client.jetstream()
                last = (await js.stream_info(bus.subjects.stream)).state.last_seq
                found = [json.loads((await js.get_msg(bus.subjects.stream, seq)).data) for seq in range(1, last + 1)]
            await asyncio.sleep(0.05)
    return found


async def test_an_event_is_a_cloud_event_that_can_be_replayed(bus):
    events = Events(bus, "n1")
    async with background(events.run()):
        events.emit("drive", "added", "fsuuid-1", size=5)
        event = (await stored(bus, 1))[0]

    assert (event["specversion"], event["type"], event["source"]) == (
        "1.0",
        "io.min.directpv.drive.added",
        "/directpv/n1",
    )
    assert (event["subject"], event["data"], event["datacontenttype"]) == ("fsuuid-1", {"size": 5}, "application/json")
    assert event["id"]
    assert event["time"].endswith("Z")


async def test_events_go_on_after_the_streams_storage_was_deleted(server, bus):
    events = Events(bus, "n1")
    async with background(events.run()):
        events.emit("drive", "added", "before")
        await stored(bus, 1)
        server.kill()
        server.lose_store()
        events.emit("drive", "added", "during")
        server.start()
        after = await stored(bus, 1)

    assert [event["subject"] for event in after] == ["during"]


async def test_the_stream_of_an_operator_keeps_its_own_settings(bus):
    js = bus.client.jetstream()
    await js.add_stream(name=bus.subjects.stream, subjects=[bus.subjects.all_events], max_msgs=7)
    events = Events(bus, "n1")
    async with background(events.run()):
        events.emit("drive", "added", "x")
        await stored(bus, 1)

    assert (await js.stream_info(bus.subjects.stream)).config.max_msgs == 7


async def test_a_full_buffer_drops_the_oldest_counts_them_and_keeps_the_rest_in_order(server, bus):
    server.kill()
    events = Events(bus, "n1")
    for number in range(10_005):
        events.emit("drive", "added", str(number))
    server.start()

    assert events.dropped == 5
    async with background(events.run()):
        await eventually_stored(bus, 10_000)
    js = bus.client.jetstream()
    first, last = [json.loads((await js.get_msg(bus.subjects.stream, seq)).data) for seq in (1, 10_000)]
    assert (first["subject"], last["subject"]) == ("5", "10004")


async def eventually_stored(bus: Bus, count: int) -> None:
    """Wait until the stream holds exactly ``count`` messages."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(Exception):
                if (await bus.client.jetstream().stream_info(bus.subjects.stream)).state.messages == count:
                    return
            await asyncio.sleep(0.05)


async def test_a_server_that_is_not_there_is_given_up_in_time_however_busy_the_machine_is():
    """A cancellation of the client can be lost; with many at once, some were for ever."""

    async def refused(number: int) -> float:
        begun = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable):
            async with connect_bus("nats://127.0.0.1:1", name="t", prefix="p", within=0.1 + number % 10 / 20):
                raise AssertionError("nobody is there")
        return asyncio.get_running_loop().time() - begun

    async with asyncio.timeout(50):
        for _ in range(4):
            await asyncio.gather(*(refused(number) for number in range(100)))


@pytest.mark.parametrize("url", ["nats://user:se/cret@127.0.0.1:1", "nats://", "nats://host:port", "nats://a,nats://"])
async def test_a_url_that_is_none_is_refused_by_name_and_not_repeated(url):
    with pytest.raises(InvalidRequest, match="nats-url") as refused:
        async with connect_bus(url, name="t", prefix="p", within=1):
            raise AssertionError("nobody is there")
    assert "cret" not in refused.value.message
