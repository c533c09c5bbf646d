"""Suspended drives and volumes over the real bus: recorded before the reply, and on the drive itself soon after."""

from collections.abc import Callable
from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.errors import NoCapacity, NotFound
from integration.controller.harness import Controller, read_registry, until, violations
from integration.controller.node import GIB, PlayedNode

Start = Callable[..., Controller]
SUSPENDED = {names.SUSPEND: "true"}


async def create(bus: Bus, name: str) -> m.VolumeInfo:
    return await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name=name, required=GIB), within=20)


async def suspend(bus: Bus, name: str, suspended: bool = True) -> m.VolumeInfo:
    return await bus.call(Api.VOLUME_CHANGE, m.ChangeVolume(name=name, suspended=suspended), within=20)


async def suspend_drive(bus: Bus, fsuuid: str, suspended: bool = True) -> m.DriveInfo:
    return await bus.call(Api.DRIVE_CHANGE, m.ChangeDrive(fsuuid=fsuuid, suspended=suspended), within=20)


async def test_a_suspended_drive_says_so_itself_and_takes_no_volumes_until_it_is_resumed(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive(labels={"rack": "7"})
    async with node.running(bus):
        await create(bus, "v1")

        assert (await suspend_drive(bus, fsuuid)).record.labels == {"rack": "7", **SUSPENDED}
        (recorded,) = read_registry(tmp_path / "registry.db").drives
        assert recorded.labels == {"rack": "7", **SUSPENDED}
        await until(lambda: node.drives[fsuuid].record.labels == recorded.labels, "the drive says so")
        with pytest.raises(NoCapacity, match="suspended"):
            await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v2", required=GIB), within=2)

        await suspend_drive(bus, fsuuid, suspended=False)
        await until(lambda: node.drives[fsuuid].record.labels == {"rack": "7"}, "the drive says so")
        await create(bus, "v2")


async def test_a_suspended_volume_says_so_on_its_drive_until_it_is_resumed(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    controllers()
    node = PlayedNode("n1")
    node.add_drive()
    async with node.running(bus):
        await create(bus, "v1")
        await create(bus, "v2")

        assert (await suspend(bus, "v1")).record.labels == SUSPENDED
        recorded = {record.name: record.labels for record in read_registry(tmp_path / "registry.db").volumes}
        assert recorded == {"v1": SUSPENDED, "v2": {}}
        await until(lambda: {n: v.labels for n, v in node.volumes().items()} == recorded, "the drive says so")

        assert (await suspend(bus, "v1", suspended=False)).record.labels == {}
        await until(lambda: node.volumes()["v1"].labels == {}, "the drive says so")
        with pytest.raises(NotFound):
            await suspend(bus, "v3")
    assert violations(tmp_path / "registry.db") == []


async def test_a_node_that_was_away_is_told_when_it_is_back(bus: Bus, controllers: Start) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await create(bus, "v1")
        await until(lambda: "v1" in node.volumes(), "the node has the volume")

    await suspend_drive(bus, fsuuid)
    await suspend(bus, "v1")
    node.restart()

    async with node.running(bus):
        await until(lambda: node.drives[fsuuid].record.labels == SUSPENDED, "the drive says so")
        await until(lambda: node.volumes()["v1"].labels == SUSPENDED, "so does the volume")


async def test_a_new_leader_keeps_what_is_suspended(bus: Bus, controllers: Start) -> None:
    first = controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await create(bus, "v1")
        await suspend_drive(bus, fsuuid)
        await suspend(bus, "v1")
        first.kill()
        controllers("c2")

        volume = await bus.call(Api.VOLUME_GET, m.VolumeId(name="v1"), within=20)
        (drive,) = (await bus.call(Api.DRIVE_LIST, m.ListDrives(), within=20)).drives

        assert (volume.record.labels, drive.record.labels) == (SUSPENDED, SUSPENDED)
