"""Moves whose drives fail: nobody is kept from the volume, and what is left behind goes when its drive is back."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.errors import Busy, Conflict, DirectPVError, FailedPrecondition
from integration.controller.drives import has_status
from integration.controller.harness import Controller, until
from integration.controller.node import GIB, PlayedNode

Start = Callable[..., Controller]
NEVER = 10**9


@pytest.fixture
def controller(controllers: Start) -> Controller:
    return controllers()


@pytest.fixture
async def node(bus: Bus, controller: Controller) -> AsyncIterator[PlayedNode]:
    """A node with two drives and the volume ``pvc-1``, whose move ends when the test says so."""
    assert controller
    node = PlayedNode("n1")
    node.looks = NEVER
    for fsuuid in (node.add_drive(), node.add_drive()):
        assert fsuuid
    async with node.running(bus):
        for fsuuid in node.drives:
            await until(lambda fsuuid=fsuuid: has_status(bus, fsuuid, m.DriveStatus.READY), "registered")  # type: ignore[misc]
        await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="pvc-1", required=GIB), within=20)
        await until(lambda: "pvc-1" in node.volumes(), "the node has the volume")
        await bus.call(Api.VOLUME_MOVE, m.MoveVolume(name="pvc-1"), within=20)
        await until(lambda: node.copies, "it is being copied")
        yield node


async def record(bus: Bus) -> m.VolumeRecord:
    return (await bus.call(Api.VOLUME_GET, m.VolumeId(name="pvc-1"), within=20)).record


async def settled(bus: Bus) -> bool:
    return (await record(bus)).moving is None


async def becomes(bus: Bus, node: PlayedNode, fsuuid: str, status: m.DriveStatus) -> None:
    drive = node.drives[fsuuid]
    drive.record = msgspec.structs.replace(drive.record, status=status)
    drive.generation += 1
    await until(lambda: has_status(bus, fsuuid, status), f"is {status}")


async def test_a_drive_that_a_volume_is_moved_to_or_from_is_not_repaired_until_that_has_ended(
    bus: Bus, node: PlayedNode
) -> None:
    target = (await record(bus)).moving.drive  # type: ignore[union-attr]
    for fsuuid in node.drives:
        with pytest.raises(FailedPrecondition, match="pvc-1 is being moved to it or from it"):
            await bus.call(Api.DRIVE_REPAIR, m.RepairDrive(fsuuid=fsuuid, id="r1"), within=20)
    assert node.repairs == []
    await becomes(bus, node, target, m.DriveStatus.ERROR)
    await bus.call(Api.DRIVE_REPAIR, m.RepairDrive(fsuuid=target, id="r2"), within=20)
    assert [order.fsuuid for order in node.repairs] == [target], "of one that is not well it is what helps"


async def test_what_is_left_on_a_source_that_failed_goes_when_it_is_back(bus: Bus, node: PlayedNode) -> None:
    old = (await record(bus)).fsuuid
    await becomes(bus, node, old, m.DriveStatus.ERROR)

    node.looks = 0
    await until(lambda: settled(bus), "the move has ended")

    moved = await record(bus)
    assert moved.fsuuid != old
    assert "pvc-1" in node.drives[old].volumes, "it could not be removed"
    await bus.call(Api.VOLUME_EXPAND, m.ExpandVolume(name="pvc-1", required=2 * GIB), within=20)
    await becomes(bus, node, old, m.DriveStatus.READY)
    await until(lambda: "pvc-1" not in node.drives[old].volumes, "what was left is gone")
    assert "pvc-1" in node.drives[moved.fsuuid].volumes


async def test_a_volume_that_is_deleted_while_it_moves_is_deleted_when_the_move_is_undone(
    bus: Bus, node: PlayedNode
) -> None:
    async def deleted() -> bool:
        try:
            await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="pvc-1"), within=5)
        except Busy:
            return False
        return "pvc-1" not in node.volumes()

    await until(deleted, "it is deleted")


async def test_a_move_that_has_failed_is_counted_until_it_is_taken_back(
    bus: Bus, node: PlayedNode, controller: Controller
) -> None:
    async def counted(count: int) -> bool:
        return await controller.metric("directpv_controller_moves_stuck") == count

    assert await counted(0), "it goes on"
    node.fails = "pvc-1/file: Input/output error"
    await until(lambda: counted(1), "it has failed")
    node.fails = ""
    await bus.call(Api.VOLUME_MOVE, m.MoveVolume(name="pvc-1", cancel=True), within=20)
    await until(lambda: counted(0), "it is no move any more")


async def test_a_move_whose_source_is_not_let_go_says_why_to_whoever_asks_until_it_is(
    bus: Bus, node: PlayedNode
) -> None:
    old = (await record(bus)).fsuuid
    node.drives[old].uses["pvc-1"] = m.VolumeUse(staged="/left")
    node.looks = 0

    async def said() -> bool:
        (status,) = (await bus.call(Api.MOVE_LIST, m.ListMoves(names=("pvc-1",)), within=20)).moves
        return (status.state, status.message) == (m.MoveState.FLIPPED, "volume pvc-1 is staged")

    await until(said, "the reason is shown")
    why = f"what it was on drive {old} is not removed yet (volume pvc-1 is staged)"
    asked: list[tuple[Any, Any, type[DirectPVError]]] = [
        (Api.VOLUME_MOVE, m.MoveVolume(name="pvc-1", cancel=True), FailedPrecondition),
        (Api.VOLUME_MOVE, m.MoveVolume(name="pvc-1", target=old), Conflict),
        (Api.VOLUME_DELETE, m.VolumeId(name="pvc-1"), Busy),
    ]
    for endpoint, request, kind in asked:
        with pytest.raises(kind) as told:
            await bus.call(endpoint, request, within=2)
        assert why in told.value.message

    async def since() -> bool:
        (status,) = (await bus.call(Api.MOVE_LIST, m.ListMoves(names=("pvc-1",)), within=20)).moves
        return status.held_up >= 2

    await until(since, "it is shown for how long it is refused")
    del node.drives[old].uses["pvc-1"]
    await until(lambda: settled(bus), "the move has ended")
