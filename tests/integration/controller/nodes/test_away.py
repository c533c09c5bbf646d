"""A node that is away is named at once, and finds no command twice when it wakes up."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.bus.cloud_event import TYPE_PREFIX, CloudEvent
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition, NoCapacity
from directpv_common.protocol.wire import decode
from integration.controller.drives import has_status
from integration.controller.harness import Controller, until
from integration.controller.node import GIB, PlayedNode

Start = Callable[..., Controller]
ASKED: dict[str, Callable[[str], tuple[Any, Any]]] = {
    "repair": lambda fsuuid: (Api.DRIVE_REPAIR, m.RepairDrive(fsuuid=fsuuid, id="r1")),
    "locate": lambda fsuuid: (Api.DRIVE_LOCATE, m.LocateDrive(fsuuid=fsuuid, on=True)),
    "init": lambda _: (Api.DRIVE_INIT, m.InitDevices(node="n1", devices=(m.FormatDevice(id="x", name="sda"),))),
}


async def offline(bus: Bus, name: str) -> bool:
    page = await bus.call(Api.NODE_LIST, m.ListNodes(paged=True))
    return any(node.info.name == name and not node.online for node in page.nodes)


async def heard_orders(bus: Bus) -> list[str]:
    """Hear what is sent to the node from now on, as its inbox would keep it."""
    heard: list[str] = []
    await bus.subscribe(f"{bus.subjects.prefix}.node.n1.>", lambda message: heard.append(message.subject))
    await bus.client.flush()
    return heard


@pytest.mark.parametrize("verb", list(ASKED))
async def test_a_node_that_is_known_to_be_offline_is_named_at_once_and_is_not_asked(
    verb: str, bus: Bus, controllers: Start
) -> None:
    controllers(online_seconds=1)
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.READY), "registered")
        node.silent = True
        await until(lambda: offline(bus, "n1"), "the node is offline")
        heard = await heard_orders(bus)
        endpoint, request = ASKED[verb](fsuuid)
        with pytest.raises(FailedPrecondition, match="node n1 is offline"):
            await bus.call(endpoint, request, within=60)
        assert heard == []


async def test_a_command_is_sent_once_however_often_its_caller_repeats_it(
    bus: Bus, controllers: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    woken = asyncio.Event()

    async def frozen(request: m.OrderRepair) -> m.RepairStatus:
        await woken.wait()
        return m.RepairStatus(fsuuid=fsuuid, id=request.id, outcome=m.RepairOutcome.RUNNING)

    monkeypatch.setattr(node, "repair", frozen)
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.READY), "registered")
        heard = await heard_orders(bus)
        repeats: list[object] = []
        endpoint, request = ASKED["repair"](fsuuid)
        await bus.subscribe(bus.subjects.controller(endpoint.noun, endpoint.verb), repeats.append)
        calls = [asyncio.create_task(bus.call(endpoint, request, within=30, attempt=0.5)) for _ in range(2)]
        await until(
            lambda: len(repeats) > 30, "the callers repeated, for longer than an attempt of the controller's own"
        )
        woken.set()
        begun = await asyncio.gather(*calls)

    assert {status.outcome for status in begun} == {m.RepairOutcome.RUNNING}
    assert [subject for subject in heard if "repair" in subject] == [
        bus.subjects.node("n1", Node.DRIVE_REPAIR.noun, Node.DRIVE_REPAIR.verb)
    ]


async def test_who_waits_for_a_node_that_goes_silent_meanwhile_is_told_before_the_time_is_up(
    bus: Bus, controllers: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    controllers(online_seconds=1)
    node = PlayedNode("n1")
    fsuuid = node.add_drive()

    async def freezes(request: m.OrderRepair) -> m.RepairStatus:
        node.silent = True
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(node, "repair", freezes)
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.READY), "registered")
        begun = time.monotonic()
        with pytest.raises(DirectPVError, match="node n1 went silent"):
            await bus.call(Api.DRIVE_REPAIR, m.RepairDrive(fsuuid=fsuuid, id="r1"), within=60)
        assert time.monotonic() - begun < 45


async def test_a_node_that_goes_and_comes_and_a_volume_that_finds_no_drive_are_events(
    bus: Bus, controllers: Start
) -> None:
    told: list[CloudEvent] = []
    await bus.subscribe(bus.subjects.all_events, lambda message: told.append(decode(message.data, CloudEvent)))
    controllers(online_seconds=1)
    node = PlayedNode("n1")
    fsuuid = node.add_drive()

    def kinds(subject: str) -> list[str]:
        return [event.type.removeprefix(TYPE_PREFIX) for event in told if event.subject == subject]

    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.READY), "registered")
        for _ in range(2):
            with pytest.raises(NoCapacity):
                await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=1 << 60), within=2)
        node.silent = True
        await until(lambda: "node.offline" in kinds("n1"), "its going is told")
        node.silent = False
        await until(lambda: kinds("n1")[-1:] == ["node.online"], "its coming is told")
        await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB), within=20)
        await until(lambda: "volume.created" in kinds("v1"), "the volume is told")

    assert kinds("n1") == ["node.offline", "node.online"]
    assert kinds("v1") == ["volume.refused", "volume.created"]
    (refused,) = [event for event in told if event.type.endswith("volume.refused")]
    assert "no drive can hold volume v1 (1 EiB)" in refused.data["cause"]
