"""The controller's API over the real bus: nats-server, the process, its registry file."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.errors import (
    IS_MOUNTED,
    NOT_MOUNTED,
    Busy,
    Conflict,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidRequest,
    InvalidToken,
    NoCapacity,
    NotFound,
    OutOfRange,
)
from integration.controller.harness import Controller, read_registry, until, violations
from integration.controller.node import GIB, PlayedNode

Start = Callable[..., Controller]


async def drives(bus: Bus, **filters: object) -> tuple[m.DriveInfo, ...]:
    return (await bus.call(Api.DRIVE_LIST, m.ListDrives(**filters), within=15)).drives


async def volumes(bus: Bus) -> dict[str, m.VolumeInfo]:
    page = await bus.call(Api.VOLUME_LIST, m.ListVolumes())
    return {info.record.name: info for info in page.volumes}


async def free(bus: Bus) -> int:
    return sum(info.free for info in await drives(bus))


async def test_a_volume_is_created_prepared_on_its_drive_and_deleted(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        created = await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB), within=20)

        assert (created.record.fsuuid, created.record.capacity, created.node) == (fsuuid, GIB, "n1")
        assert created.topology[names.NODE] == "n1"
        assert [v.name for v in read_registry(tmp_path / "registry.db").volumes] == ["v1"]
        await until(lambda: "v1" in node.drives[fsuuid].volumes, "the node is told")

        await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="v1"))
        assert node.volumes() == {}
        assert await volumes(bus) == {}
        assert await free(bus) == 99 * GIB
        assert read_registry(tmp_path / "registry.db").volumes == []


async def test_a_hundred_creates_at_once_all_succeed_and_share_commits(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    controllers()
    node = PlayedNode("n1")
    for _ in range(4):
        node.add_drive()
    async with node.running(bus):
        wanted = [m.CreateVolume(name=f"v{i}", required=GIB) for i in range(100)]
        created = await asyncio.gather(*(bus.call(Api.VOLUME_CREATE, w, within=20) for w in wanted))

        assert len({info.record.name for info in created}) == 100
        assert len(read_registry(tmp_path / "registry.db").volumes) == 100
        assert violations(tmp_path / "registry.db") == []
        assert {info.volumes for info in await drives(bus)} == {25}


async def test_concurrent_repeats_of_one_create_give_one_volume(bus: Bus, controllers: Start) -> None:
    controllers()
    node = PlayedNode("n1")
    node.add_drive()
    async with node.running(bus):
        wanted = m.CreateVolume(name="v1", required=GIB)
        created = await asyncio.gather(*(bus.call(Api.VOLUME_CREATE, wanted, within=20) for _ in range(20)))

        assert len({info.record.fsuuid for info in created}) == 1
        assert await free(bus) == 98 * GIB


async def test_a_create_that_differs_from_the_existing_volume_is_a_conflict(bus: Bus, controllers: Start) -> None:
    controllers()
    node = PlayedNode("n1")
    node.add_drive()
    async with node.running(bus):
        await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB), within=20)

        with pytest.raises(Conflict, match="capacity_range"):
            await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=2 * GIB))


async def test_refusals_name_the_field_or_the_reason(bus: Bus, controllers: Start) -> None:
    controllers()
    node = PlayedNode("n1")
    node.add_drive()
    async with node.running(bus):
        with pytest.raises(InvalidRequest, match="capacity_range") as refusal:
            await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=2, limit=1), within=20)
        assert refusal.value.details["field"] == "capacity_range"
        with pytest.raises(NoCapacity, match="1 has 99 GiB free of 200 GiB asked"):
            await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=200 * GIB))
        with pytest.raises(NotFound):
            await bus.call(Api.VOLUME_GET, m.VolumeId(name="v1"))
        with pytest.raises(InvalidToken):
            await bus.call(Api.VOLUME_LIST, m.ListVolumes(token="nonsense"))
        assert await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="v1")) == m.Done()


async def test_a_mounted_volume_is_not_deleted_and_stays_listed(bus: Bus, controllers: Start) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB), within=20)
        node.drives[fsuuid].uses["v1"] = m.VolumeUse(staged="/staging")

        with pytest.raises(FailedPrecondition, match="staged"):
            await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="v1"))
        assert list(await volumes(bus)) == ["v1"]

        node.drives[fsuuid].uses.clear()
        await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="v1"))
        assert node.volumes() == {}


async def test_a_staged_volume_of_an_unreachable_node_is_not_deleted(bus: Bus, controllers: Start) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB), within=20)
        await until(lambda: node.volumes(), "prepared")
        node.drives[fsuuid].uses["v1"] = m.VolumeUse(staged="/staging")
        node.drives[fsuuid].generation += 1
        await until(lambda: _use_of(bus, "v1"), "the use is known")

    with pytest.raises(FailedPrecondition, match="staged on node n1"):
        await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="v1"))
    assert list(await volumes(bus)) == ["v1"]


async def test_a_volume_whose_drive_died_under_it_is_deleted_when_its_node_has_it_mounted_nowhere(
    bus: Bus, controllers: Start
) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB), within=20)
        await until(lambda: node.volumes(), "prepared")
        node.drives[fsuuid].uses["v1"] = m.VolumeUse(staged="/staging")
        node.drives[fsuuid].generation += 1
        await until(lambda: _use_of(bus, "v1"), "the use is known")
        node.mounted = IS_MOUNTED

        with pytest.raises(FailedPrecondition, match="staged on node n1"):
            await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="v1"))
        assert list(await volumes(bus)) == ["v1"]

        node.mounted = NOT_MOUNTED  # as after a boot without the drive
        await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="v1"))
        assert await volumes(bus) == {}


async def test_a_removal_that_was_not_answered_stays_one_until_it_is_known_what_became_of_it(
    bus: Bus, controllers: Start
) -> None:
    """The node destroys at once and answers late: nothing may be shown, missed or made anew meanwhile."""
    controller = controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB), within=20)
        await until(lambda: node.volumes(), "prepared")
        node.drives[fsuuid].uses["v1"] = m.VolumeUse(staged="/staging")
        node.drives[fsuuid].generation += 1
        await until(lambda: _use_of(bus, "v1"), "the use is known")
        node.drives[fsuuid].uses.clear()  # unstaged a moment ago: the leader was not told yet
        node.stuck, node.prepared = asyncio.Event(), []
        node.silent = True

        with pytest.raises(DeadlineExceeded, match="may be at it"):
            await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="v1"), within=10, attempt=10)
        assert await volumes(bus) == {}
        node.silent = False
        node.drives[fsuuid].generation += 1
        await until(lambda: controller.said("volume not removed yet"), "it is compared again", 40)
        assert not controller.said("volume.missing")
        node.stuck.set()

        await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="v1"), within=20)
        assert (await volumes(bus), node.volumes(), node.prepared) == ({}, {}, [])
        await until(lambda: _has_free(bus, 99 * GIB), "the space is free")


async def test_what_a_node_says_is_taken_in_when_the_registry_can_be_written_again(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    controller = controllers(lease_seconds=30)
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB), within=20)
        await until(lambda: node.volumes(), "prepared")
        with closing(sqlite3.connect(tmp_path / "registry.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            node.drives[fsuuid].volumes["v1"] = msgspec.structs.replace(node.volumes()["v1"], capacity=5 * GIB)
            node.drives[fsuuid].generation += 1
            await until(lambda: controller.said("drive not recorded"), "the registry is locked")
            other.execute("ROLLBACK")
        assert await free(bus) == 98 * GIB

        await until(lambda: _has_free(bus, 94 * GIB), "it is asked for again, though nothing changed since", 30)


async def _use_of(bus: Bus, name: str) -> str:
    return (await bus.call(Api.VOLUME_GET, m.VolumeId(name=name))).use.staged


async def test_a_delete_while_the_node_is_away_is_acknowledged_and_finished_when_it_returns(
    bus: Bus, controllers: Start
) -> None:
    controllers()
    node = PlayedNode("n1")
    node.add_drive()
    async with node.running(bus):
        await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB), within=20)
        await until(lambda: node.volumes(), "prepared")

    await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="v1"))
    assert await volumes(bus) == {}
    assert await free(bus) == 98 * GIB
    with pytest.raises(Busy):
        await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB))

    node.restart()
    async with node.running(bus):
        await until(lambda: not node.volumes(), "the data is removed")
        await until(lambda: _has_free(bus, 99 * GIB), "the space is free")


async def _has_free(bus: Bus, size: int) -> bool:
    return await free(bus) == size


async def test_an_order_that_fails_is_given_again(bus: Bus, controllers: Start) -> None:
    controllers()
    node = PlayedNode("n1")
    node.add_drive()
    node.failing = 1
    async with node.running(bus):
        await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB), within=20)
        await until(lambda: node.volumes(), "prepared at the second try")
        assert node.failing == 0


async def test_a_create_whose_caller_goes_away_is_finished_and_found_by_the_repeat(
    bus: Bus, controllers: Start
) -> None:
    controllers()
    node = PlayedNode("n1")
    node.add_drive()
    async with node.running(bus):
        await until(lambda: _has_free(bus, 99 * GIB), "registered")
        wanted = m.CreateVolume(name="v1", required=GIB)
        subject = bus.subjects.controller("volume", "create")
        await bus.publish(subject, wanted)
        await until(lambda: _has_free(bus, 98 * GIB), "created")

        assert (await bus.call(Api.VOLUME_CREATE, wanted)).record.capacity == GIB
        assert await free(bus) == 98 * GIB


async def test_an_expansion_is_reserved_once_and_told_to_the_node(bus: Bus, controllers: Start) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB), within=20)
        grow = m.ExpandVolume(name="v1", required=3 * GIB)

        assert (await bus.call(Api.VOLUME_EXPAND, grow)).capacity == 3 * GIB
        assert (await bus.call(Api.VOLUME_EXPAND, grow)).capacity == 3 * GIB
        assert await free(bus) == 96 * GIB
        await until(lambda: _capacity(node, fsuuid, "v1") == 3 * GIB, "the quota is raised")
        await until(lambda: _is_expanded(bus, grow), "the controller knows")
        with pytest.raises(OutOfRange, match="96 GiB free"):
            await bus.call(Api.VOLUME_EXPAND, m.ExpandVolume(name="v1", required=100 * GIB))


def _capacity(node: PlayedNode, fsuuid: str, name: str) -> int:
    """Bytes of the volume on its drive; 0 as long as it is not there."""
    volume = node.drives[fsuuid].volumes.get(name)
    return volume.capacity if volume else 0


async def _is_expanded(bus: Bus, request: m.ExpandVolume) -> bool:
    return not (await bus.call(Api.VOLUME_EXPAND, request)).node_expansion_required
