"""The gateway as a process: start, stop, its socket, its probes, and a bus that goes away."""

import asyncio
import signal
import urllib.error
import urllib.request

import grpc
import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.api import Controller
from directpv_csi_gateway.pb import csi_pb2 as pb
from integration.gateway.harness import client_of, peer, placed, serving, until
from support.nats import nats_server
from support.ports import free_port
from support.proxy import Proxy
from unit.gateway import requests as r


def fetched(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def test_sigterm_lets_a_running_call_end_and_refuses_new_ones(bus, start):
    gateway = await serving(start())
    async with client_of(gateway) as client, peer(bus, {Controller.VOLUME_CREATE: placed}) as controller:
        controller.gate.clear()
        running = asyncio.create_task(client.call("Controller/CreateVolume", r.create()))
        await until(lambda: bool(controller.asked), "the call has arrived")
        gateway.process.send_signal(signal.SIGTERM)

        async def refused() -> bool:
            try:
                await client.call("Identity/Probe", pb.ProbeRequest())
            except grpc.aio.AioRpcError as error:
                return error.code() is grpc.StatusCode.UNAVAILABLE
            return False

        async with asyncio.timeout(10):
            while not await refused():
                await asyncio.sleep(0.01)
        assert gateway.process.poll() is None
        controller.gate.set()

        assert (await running).volume.volume_id == "pvc-1"
        assert await gateway.ended() == 0
    assert not gateway.socket.exists()


async def test_a_call_that_never_ends_delays_the_end_no_longer_than_the_drain(bus, start):
    gateway = await serving(start("--drain-seconds", "0.5"))
    async with client_of(gateway) as client, peer(bus, {Controller.VOLUME_CREATE: placed}) as controller:
        controller.gate.clear()
        running = asyncio.create_task(client.call("Controller/CreateVolume", r.create(), timeout=60))
        await until(lambda: bool(controller.asked), "the call has arrived")
        gateway.process.send_signal(signal.SIGTERM)

        assert await gateway.ended() == 0
        with pytest.raises(grpc.aio.AioRpcError):
            await running
        controller.gate.set()


async def test_an_idle_connection_does_not_keep_the_process_alive(start):
    gateway = await serving(start("--drain-seconds", "3600"))
    async with client_of(gateway) as client:
        await client.call("Identity/Probe", pb.ProbeRequest())
        gateway.process.send_signal(signal.SIGTERM)

        assert await gateway.ended() == 0
    assert "Traceback" not in gateway.log


async def test_the_socket_that_a_killed_gateway_left_is_taken_over(start):
    killed = await serving(start())
    killed.process.kill()
    await killed.ended()
    assert killed.socket.exists()

    async with client_of(await serving(start())) as client:
        assert (await client.call("Identity/Probe", pb.ProbeRequest())).ready.value


async def test_a_second_gateway_on_the_same_socket_gives_up_and_the_first_serves_on(start):
    first = await serving(start())
    second = start()

    assert await second.ended() == 1
    assert "another process answers" in second.log
    assert "Traceback" not in second.log
    async with client_of(first) as client:
        assert (await client.call("Identity/Probe", pb.ProbeRequest())).ready.value


async def test_a_file_in_the_place_of_the_socket_is_left_alone(start, tmp_path):
    path = tmp_path / "csi.sock"
    path.write_text("mine")
    gateway = start()

    assert await gateway.ended() == 1
    assert "is no socket" in gateway.log
    assert path.read_text() == "mine"


@pytest.mark.parametrize("length", [107, 108])
async def test_a_socket_path_may_have_107_bytes(start, tmp_path, length):
    name = "s" * (length - len(str(tmp_path)) - 1)
    if not name:
        pytest.skip(f"the temporary directory {tmp_path} is too long for this test")
    gateway = start(socket=tmp_path / name)

    if length <= 107:
        await serving(gateway)
    else:
        assert await gateway.ended() == 1
        assert "longer than 107 bytes" in gateway.log


async def test_without_a_bus_the_gateway_answers_that_it_is_not_ready_and_calls_once_the_bus_is_there(start, tmp_path):
    """The official sidecars give up on a socket that is not there for 30 s."""
    port, bus_port = free_port(), free_port()
    gateway = start(NATS_URL=f"nats://127.0.0.1:{bus_port}", METRICS_PORT=str(port), HTTP_HOST="127.0.0.1")

    await until(gateway.socket.exists, "the socket is there")
    await until(lambda: "no NATS server answers yet" in gateway.log, "it says so")
    assert await asyncio.to_thread(fetched, port, "/ready") == (503, "the bus is not connected\n")
    assert (await asyncio.to_thread(fetched, port, "/healthz"))[0] == 200
    async with client_of(gateway) as client:
        assert (await client.call("Identity/GetPluginInfo", pb.GetPluginInfoRequest())).name == "directpv-min-io"
        assert not (await client.call("Identity/Probe", pb.ProbeRequest())).ready.value
        failed = await client.failed("Controller/DeleteVolume", r.delete(), timeout=1)
        assert failed.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        patient = asyncio.create_task(client.call("Controller/DeleteVolume", r.delete(), timeout=30))
        with nats_server(tmp_path / "late", bus_port) as server:
            async with (
                connect_bus(server.url, name="test", prefix="directpv.v1") as bus,
                peer(bus, {Controller.VOLUME_DELETE: m.Done()}),
            ):
                await patient
                assert await asyncio.to_thread(fetched, port, "/ready") == (200, "ok\n")


async def test_a_connection_that_the_server_ended_for_good_is_made_anew(server, bus, start):
    proxy = Proxy(int(server.url.rpartition(":")[2]))
    async with proxy.listening() as port:
        gateway = await serving(start(NATS_URL=f"nats://127.0.0.1:{port}"))
        async with client_of(gateway) as client, peer(bus, {Controller.VOLUME_DELETE: m.Done()}):
            await client.call("Controller/DeleteVolume", r.delete(), timeout=20)
            proxy.say(b"-ERR 'Maximum Payload Violation'\r\n")  # after which the client never connects again
            await until(lambda: "the server ended the connection" in gateway.log, "it is noticed")

            await client.call("Controller/DeleteVolume", r.delete(), timeout=20)


async def test_a_gateway_that_waits_for_the_bus_ends_when_it_is_told_to(start):
    gateway = start(NATS_URL=f"nats://127.0.0.1:{free_port()}")
    await until(lambda: "no NATS server answers yet" in gateway.log, "it waits")

    gateway.process.send_signal(signal.SIGTERM)

    assert await gateway.ended() == 0


async def test_while_the_bus_is_away_probe_says_not_ready_and_calls_are_unavailable(server, start):
    port = free_port()
    gateway = await serving(start(METRICS_PORT=str(port), HTTP_HOST="127.0.0.1"))
    async with client_of(gateway) as client:

        async def ready() -> bool:
            return bool((await client.call("Identity/Probe", pb.ProbeRequest())).ready.value)

        async with asyncio.timeout(20):  # the socket is there before the bus is
            while not await ready():
                await asyncio.sleep(0.05)
        server.kill()
        async with asyncio.timeout(10):
            while await ready():
                await asyncio.sleep(0.05)
        assert (await asyncio.to_thread(fetched, port, "/ready"))[0] == 503
        assert (await asyncio.to_thread(fetched, port, "/healthz"))[0] == 200
        failed = await client.failed("Controller/DeleteVolume", r.delete(), timeout=1)
        assert failed.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

        server.start()
        async with asyncio.timeout(20):
            while not await ready():
                await asyncio.sleep(0.05)
    assert gateway.process.poll() is None


async def test_calls_are_counted_by_method_and_code(bus, start):
    port = free_port()
    async with client_of(await serving(start(METRICS_PORT=str(port), HTTP_HOST="127.0.0.1"))) as client:
        async with peer(bus, {Controller.VOLUME_CREATE: placed}):
            await client.call("Controller/CreateVolume", r.create())
        await client.failed("Controller/CreateVolume", r.create(name=""))
        status, text = await asyncio.to_thread(fetched, port, "/metrics")

    assert status == 200
    for code in ("OK", "INVALID_ARGUMENT"):
        assert f'directpv_csi_calls_total{{code="{code}",method="CreateVolume"}} 1.0' in text
    assert 'directpv_csi_call_seconds_count{method="CreateVolume"} 2.0' in text
    assert "directpv_csi_calls_running 0.0" in text


async def test_the_nodes_server_is_well_while_it_greets(start, tmp_path):
    """kubelet cannot ask it on loopback, and is told by the gateway."""
    port = free_port()
    with nats_server(tmp_path / "leaf") as leaf:
        gateway = start(NATS_URL=leaf.url, METRICS_PORT=str(port), HTTP_HOST="127.0.0.1")
        await serving(gateway)
        assert await asyncio.to_thread(fetched, port, "/nats") == (200, "ok\n")
        leaf.freeze()
        status, why = await asyncio.to_thread(fetched, port, "/nats")
        assert (status, "does not greet" in why) == (503, True)
        leaf.thaw()
        assert (await asyncio.to_thread(fetched, port, "/nats"))[0] == 200
