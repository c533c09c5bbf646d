"""CSI calls through the real gateway process, from a gRPC client to the bus and back."""

import asyncio
import os
import stat

import grpc
import pytest

import directpv_common.protocol.messages as m
from directpv_common.calls.context import remaining, trace
from directpv_common.protocol.api import Controller, Node
from directpv_common.protocol.errors import Busy, NoCapacity, NotFound
from directpv_common.protocol.names import DRIVER_NAME
from directpv_csi_gateway.pb import csi_pb2 as pb
from integration.gateway.harness import FSUUID, NODE, client_of, peer, placed, serving, until
from unit.gateway import requests as r

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_volume_is_created_and_everything_about_it_comes_back(bus, client):
    async with peer(bus, {Controller.VOLUME_CREATE: placed}) as controller:
        reply = await client.call("Controller/CreateVolume", r.create())

    assert (reply.volume.volume_id, reply.volume.capacity_bytes) == ("pvc-1", r.GIB)
    assert [dict(term.segments) for term in reply.volume.accessible_topology] == [{"directpv.min.io/node": NODE}]
    assert [request.name for request in controller.asked] == ["pvc-1"]


async def test_the_life_of_a_volume_on_its_node_needs_its_agent_alone(bus, client):
    done = {
        endpoint: m.Done()
        for endpoint in (Node.VOLUME_STAGE, Node.VOLUME_PUBLISH, Node.VOLUME_UNPUBLISH, Node.VOLUME_UNSTAGE)
    }
    measured = m.VolumeStats(total=9, used=4, available=5, inodes_total=9, inodes_used=1, inodes_free=8)
    answers = {
        **done,
        Node.VOLUME_STATS: measured,
        Node.VOLUME_EXPAND: m.NodeVolumeExpanded(capacity=7),
        Node.NODE_GET: m.NodeInfo(name=NODE, topology={"directpv.min.io/node": NODE}),
    }
    async with peer(bus, answers, node=NODE) as agent:
        await client.call("Node/NodeStageVolume", r.stage(volume_context={"directpv.min.io/drive": FSUUID}))
        await client.call("Node/NodePublishVolume", r.publish())
        usage = (await client.call("Node/NodeGetVolumeStats", r.stats())).usage
        grown = await client.call("Node/NodeExpandVolume", r.node_grow())
        await client.call("Node/NodeUnpublishVolume", r.unpublish())
        await client.call("Node/NodeUnstageVolume", r.unstage())
        info = await client.call("Node/NodeGetInfo", pb.NodeGetInfoRequest())

    assert [type(request) for request in agent.asked] == [
        m.StageVolume,
        m.PublishVolume,
        m.StatVolume,
        m.ExpandNodeVolume,
        m.UnpublishVolume,
        m.UnstageVolume,
        m.Empty,
    ]
    assert [row.used for row in usage] == [4, 1]
    assert grown.capacity_bytes == 7
    assert info.node_id == NODE


async def test_the_other_controller_calls_reach_the_controller(bus, client):
    answers = {
        Controller.VOLUME_DELETE: m.Done(),
        Controller.VOLUME_GET: placed,
        Controller.VOLUME_EXPAND: lambda request: m.VolumeExpanded(capacity=request.required),
        Controller.VOLUME_LIST: lambda request: m.VolumePage(volumes=(placed(m.VolumeId(name="a")),), next="a"),
        Controller.CAPACITY_GET: m.Capacity(available=10, maximum=7),
    }
    async with peer(bus, answers):
        await client.call("Controller/DeleteVolume", r.delete())
        got = await client.call("Controller/ControllerGetVolume", r.get())
        validated = await client.call("Controller/ValidateVolumeCapabilities", r.validate())
        grown = await client.call("Controller/ControllerExpandVolume", r.grow())
        page = await client.call("Controller/ListVolumes", pb.ListVolumesRequest(max_entries=1))
        free = await client.call("Controller/GetCapacity", pb.GetCapacityRequest())

    assert got.volume.volume_id == "pvc-1"
    assert validated.HasField("confirmed")
    assert (grown.capacity_bytes, grown.node_expansion_required) == (2 * r.GIB, True)
    assert ([entry.volume.volume_id for entry in page.entries], page.next_token) == (["a"], "a")
    assert (free.available_capacity, free.maximum_volume_size.value) == (10, 7)


async def test_the_driver_says_who_it_is_and_what_it_can_do(client):
    info = await client.call("Identity/GetPluginInfo", pb.GetPluginInfoRequest())
    plugin = await client.call("Identity/GetPluginCapabilities", pb.GetPluginCapabilitiesRequest())
    controller = await client.call("Controller/ControllerGetCapabilities", pb.ControllerGetCapabilitiesRequest())
    node = await client.call("Node/NodeGetCapabilities", pb.NodeGetCapabilitiesRequest())

    assert info.name == DRIVER_NAME
    assert info.vendor_version
    assert len(plugin.capabilities) == 3
    names = pb.ControllerServiceCapability.RPC.Type.Name
    assert "GET_CAPACITY" in {names(capability.rpc.type) for capability in controller.capabilities}
    names = pb.NodeServiceCapability.RPC.Type.Name
    assert "STAGE_UNSTAGE_VOLUME" in {names(capability.rpc.type) for capability in node.capabilities}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("no volume pvc-1"), grpc.StatusCode.NOT_FOUND),
        (Busy("in use"), grpc.StatusCode.ABORTED),
        (NoCapacity("4 drives: 2 cordoned"), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_refusal_of_the_controller_reaches_the_caller_in_its_words(bus, client, error, code):
    async with peer(bus, {Controller.VOLUME_CREATE: error}):
        failed = await client.failed("Controller/CreateVolume", r.create())

    assert (failed.code(), failed.details()) == (code, error.message)


async def test_a_fault_of_the_controller_reaches_the_caller_without_its_text(bus, client):
    async with peer(bus, {Controller.VOLUME_CREATE: KeyError("inner secret")}):
        failed = await client.failed("Controller/CreateVolume", r.create())

    assert failed.code() is grpc.StatusCode.INTERNAL
    assert "inner secret" not in failed.details()


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        ("Controller/CreateVolume", r.create()),
        ("Node/NodeStageVolume", r.stage()),
        ("Node/NodeGetInfo", pb.NodeGetInfoRequest()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_when_nobody_answers_the_caller_learns_it_before_its_own_deadline(client, path, request_):
    failed = await client.failed(path, request_, timeout=4)

    assert failed.code() is grpc.StatusCode.UNAVAILABLE
    assert "nobody answers" in failed.details()


async def test_a_call_waits_for_a_controller_that_comes_in_time(bus, client, gateway):
    call = asyncio.create_task(client.call("Controller/CreateVolume", r.create(), timeout=20))
    probe = asyncio.create_task(client.call("Identity/Probe", pb.ProbeRequest()))
    await probe
    async with peer(bus, {Controller.VOLUME_CREATE: placed}):
        assert (await call).volume.volume_id == "pvc-1"


async def test_when_the_answer_does_not_come_in_time_the_caller_may_repeat(bus, client):
    async with peer(bus, {Controller.VOLUME_CREATE: placed}) as controller:
        controller.gate.clear()
        failed = await client.failed("Controller/CreateVolume", r.create(), timeout=5)
        controller.gate.set()

        assert failed.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "safe to repeat" in failed.details()
        assert (await client.call("Controller/CreateVolume", r.create())).volume.volume_id == "pvc-1"


async def test_a_caller_that_goes_away_disturbs_neither_the_work_nor_other_callers(bus, client, gateway):
    async with peer(bus, {Controller.VOLUME_CREATE: placed}) as controller:
        controller.gate.clear()
        gone = asyncio.create_task(client.call("Controller/CreateVolume", r.create(name="gone")))
        stays = asyncio.create_task(client.call("Controller/CreateVolume", r.create(name="stays")))
        await until(lambda: len(controller.asked) == 2, "both calls have arrived")
        gone.cancel()
        await until(lambda: '"CANCELLED"' in gateway.log, "the gateway noticed")
        controller.gate.set()

        assert (await stays).volume.volume_id == "stays"
    assert "Traceback" not in gateway.log


async def test_deadline_and_trace_of_the_caller_reach_the_controller(bus, client):
    seen = []

    def answer(request: m.CreateVolume) -> m.VolumeInfo:
        seen.append((remaining(9999), trace()))
        return placed(request)

    async with peer(bus, {Controller.VOLUME_CREATE: answer}):
        await client.call("Controller/CreateVolume", r.create(), timeout=50, metadata=[("traceparent", PARENT)])

    ((left, span),) = seen
    assert 10 < left < 50
    assert span.trace_id == "0af7651916cd43dd8448eb211c80319c"


async def test_bad_input_never_reaches_the_bus(bus, client):
    heard: list[str] = []
    stop = await bus.subscribe("directpv.v1.>", lambda message: heard.append(message.subject))
    await bus.client.flush()

    for path, request in [
        ("Controller/CreateVolume", r.create(name="../x")),
        ("Controller/CreateVolume", r.create(volume_capabilities=[r.block()])),
        ("Controller/CreateVolume", r.create(capacity_range=r.sizes(2, 1))),
        ("Controller/DeleteVolume", r.delete(volume_id="x" * 4000)),
        ("Controller/ControllerExpandVolume", r.grow(capacity_range=r.sizes(-1))),
        ("Node/NodeStageVolume", r.stage(staging_target_path="/a/../b")),
        ("Node/NodePublishVolume", r.publish(target_path="relative")),
        ("Node/NodeUnpublishVolume", r.unpublish(volume_id="")),
        ("Node/NodeUnstageVolume", r.unstage(staging_target_path="")),
    ]:
        assert (await client.failed(path, request)).code() is grpc.StatusCode.INVALID_ARGUMENT
    await bus.client.flush()
    await stop()

    assert heard == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\xff\xff\xff", id="no protobuf"),
        pytest.param(b"\x0a\x02\xc3\x28", id="a name that is no UTF-8"),
        pytest.param(b"\x08\x01", id="a number for a name"),
    ],
)
async def test_bytes_that_are_no_request_are_invalid(client, gateway, body):
    method = client.channel.unary_unary("/csi.v1.Controller/CreateVolume")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await method(body, timeout=10)

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "Traceback" not in gateway.log


async def test_secrets_stay_out_of_the_log(bus, client, gateway):
    async with peer(bus, {Controller.VOLUME_CREATE: placed}):
        await client.call("Controller/CreateVolume", r.create(secrets={"password": "hunter2"}))
        await client.failed("Controller/CreateVolume", r.create(name="", secrets={"password": "hunter2"}))

    await until(lambda: '"INVALID_ARGUMENT"' in gateway.log, "both calls are logged")
    assert "hunter2" not in gateway.log


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        ("Controller/CreateSnapshot", pb.CreateSnapshotRequest()),
        ("Controller/ControllerPublishVolume", pb.ControllerPublishVolumeRequest()),
        ("Controller/ControllerModifyVolume", pb.ControllerModifyVolumeRequest()),
    ],
    ids=["snapshot", "attach", "modify"],
)
async def test_what_is_not_offered_is_unimplemented(client, path, request_):
    assert (await client.failed(path, request_)).code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("mode", "served", "not_served"),
    [
        ("controller", "Controller/ControllerGetCapabilities", "Node/NodeGetCapabilities"),
        ("node", "Node/NodeGetCapabilities", "Controller/ControllerGetCapabilities"),
    ],
)
async def test_a_mode_serves_its_own_service_and_identity_alone(start, mode, served, not_served):
    def request(path: str):
        return getattr(pb, f"{path.partition('/')[2]}Request")()

    async with client_of(await serving(start(MODE=mode))) as client:
        assert await client.call(served, request(served))
        assert (await client.call("Identity/Probe", pb.ProbeRequest())).ready.value
        assert (await client.failed(not_served, request(not_served))).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_only_root_may_connect(gateway):
    assert stat.S_IMODE(os.stat(gateway.socket).st_mode) == 0o600


async def test_two_hundred_calls_at_once_are_all_answered(bus, client):
    async with peer(bus, {Controller.VOLUME_CREATE: placed}):
        replies = await asyncio.gather(
            *(client.call("Controller/CreateVolume", r.create(name=f"pvc-{i}"), timeout=50) for i in range(200))
        )

    assert [reply.volume.volume_id for reply in replies] == [f"pvc-{i}" for i in range(200)]
