"""Drives that are given up, over the real bus and the real file: intent first, then the node, then the record goes."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import FailedPrecondition, InvalidRequest, NotFound
from integration.controller.drives import has_status, listed
from integration.controller.harness import Controller, read_registry, until
from integration.controller.node import GIB, PlayedNode
from support.nats import NatsServer

Start = Callable[..., Controller]
READY = m.DriveStatus.READY
DONE, WAITING = m.RemovalOutcome.REMOVED, m.RemovalOutcome.WAITING


async def remove(bus: Bus, fsuuid: str, **flags: object) -> m.DriveRemoval:
    return await bus.call(Api.DRIVE_REMOVE, m.RemoveDrive(fsuuid=fsuuid, **flags), within=30)


async def is_gone(bus: Bus, fsuuid: str) -> bool:
    return fsuuid not in await listed(bus)


async def is_registered(bus: Bus, fsuuid: str, tmp_path: Path) -> bool:
    return await has_status(bus, fsuuid, READY) and fsuuid in recorded(tmp_path)


async def is_forgotten(bus: Bus, fsuuid: str, tmp_path: Path) -> bool:
    """Whether it is durable, too, that the drive is gone: what is told may be a commit ahead of the file."""
    return await is_gone(bus, fsuuid) and fsuuid not in recorded(tmp_path)


def recorded(tmp_path: Path) -> dict[str, m.DriveRecord]:
    return {record.fsuuid: record for record in read_registry(tmp_path / "registry.db").drives}


async def test_a_drive_is_let_go_of_by_its_node_and_forgotten_and_stays_so(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid, other = node.add_drive(), node.add_drive()
    async with node.running(bus):
        await until(lambda: is_registered(bus, fsuuid, tmp_path), "registered")
        dry = await remove(bus, fsuuid, dry_run=True, wipe=m.Wipe.ZERO)
        assert (dry.outcome, "wiped (zero)" in dry.message) == (m.RemovalOutcome.WOULD_REMOVE, True)
        assert recorded(tmp_path)[fsuuid].status is READY
        assert node.releases == []

        removal = await remove(bus, fsuuid)

        assert (removal.outcome, removal.node) == (DONE, "n1")
        assert recorded(tmp_path).keys() == {other}
        assert (await remove(bus, fsuuid)).outcome is DONE
        assert [order.fsuuid for order in node.releases] == [fsuuid]
        placed = await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB), within=20)
        assert placed.record.fsuuid == other


async def test_a_drive_with_a_volume_is_refused_and_an_unknown_one_and_an_unknown_wipe_too(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: is_registered(bus, fsuuid, tmp_path), "registered")
        names = {"csi.storage.k8s.io/pvc/name": "data-0", "csi.storage.k8s.io/pvc/namespace": "shop"}
        create = m.CreateVolume(name="v1", required=GIB, parameters=names)
        await bus.call(Api.VOLUME_CREATE, create, within=20)

        with pytest.raises(FailedPrecondition, match=r"1 volume of 1 claim: v1 \(shop/data-0\)"):
            await remove(bus, fsuuid)
        with pytest.raises(NotFound):
            await remove(bus, "00000000-0000-4000-8000-00000000dead")
        with pytest.raises(InvalidRequest, match="none, zero, discard"):
            await remove(bus, fsuuid, wipe=m.Wipe("shred"))

        assert recorded(tmp_path)[fsuuid].status is READY
        assert node.releases == []


async def test_what_the_node_refuses_is_kept_and_said(bus: Bus, controllers: Start, tmp_path: Path) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: is_registered(bus, fsuuid, tmp_path), "registered")
        node.used = "sda is mounted at /mnt"

        with pytest.raises(FailedPrecondition, match="mounted at /mnt"):
            await remove(bus, fsuuid)

        await until(lambda: has_status(bus, fsuuid, READY), "it serves on")
        await until(lambda: recorded(tmp_path)[fsuuid].removal == "", "that it is kept is durable")


async def test_a_wipe_is_asked_for_until_it_has_ended(bus: Bus, controllers: Start) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, READY), "registered")
        node.at_work = 1

        removal = await remove(bus, fsuuid, wipe=m.Wipe.ZERO)

        assert (removal.outcome, removal.message) == (WAITING, "wiping it: 7 %")
        assert (await listed(bus))[fsuuid].record.status is m.DriveStatus.REMOVED
        await until(lambda: is_gone(bus, fsuuid), "it is forgotten")
        assert {order.wipe for order in node.releases} == {m.Wipe.ZERO}


async def test_the_order_waits_for_a_node_that_is_away_also_through_a_change_of_leader(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    first = controllers("c1", online_seconds=1)
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: is_registered(bus, fsuuid, tmp_path), "registered")

    async def away() -> bool:
        return not (await listed(bus))[fsuuid].online

    await until(away, "the node is away")
    removal = await remove(bus, fsuuid)
    assert (removal.outcome, "offline" in removal.message) == (WAITING, True)
    first.kill()
    controllers("c2", online_seconds=1)
    assert recorded(tmp_path)[fsuuid].status is m.DriveStatus.REMOVED

    async with node.running(bus):
        await until(lambda: is_gone(bus, fsuuid), "the node has done it")
    assert fsuuid in node.noted


async def test_a_leader_that_is_killed_before_the_record_goes_is_followed_by_one_that_ends_the_work(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    """The node has let go of the drive, and nobody has heard of it."""
    first = controllers("c1")
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: is_registered(bus, fsuuid, tmp_path), "registered")
        node.at_work = 1000
        await remove(bus, fsuuid)
        first.kill()
        node.at_work = 0
        node.noted.add(fsuuid)
        del node.drives[fsuuid]
        controllers("c2")

        await until(lambda: is_forgotten(bus, fsuuid, tmp_path), "it is forgotten")


async def test_a_disk_that_could_not_be_told_is_told_when_it_is_seen_again_and_not_taken_in(
    bus: Bus, controllers: Start, nats: NatsServer, tmp_path: Path
) -> None:
    first = controllers("c1")
    node = PlayedNode("n1")
    fsuuid = node.add_drive(status=m.DriveStatus.LOST)
    other = node.add_drive()
    lost = node.drives[fsuuid]
    async with node.running(bus):
        await until(lambda: has_status(bus, other, READY), "registered")
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.LOST), "registered")
        node.unwritable = True
        assert (await remove(bus, fsuuid)).outcome is DONE
        first.kill()
        controllers("c2")
        await until(lambda: has_status(bus, other, READY), "another leads")
        asked = len(node.releases)

        node.drives[fsuuid] = lost
        await until(lambda: len(node.releases) > asked, "the node is told")
        assert fsuuid not in await listed(bus)
        node.unwritable = False
        node.drives[fsuuid] = lost
        await until(lambda: fsuuid in node.noted, "the disk knows")
        await asyncio.wait_for(until(lambda: fsuuid not in node.drives, "it is let go of"), 20)
        assert recorded(tmp_path).keys() == {other}


async def test_an_agent_of_an_earlier_version_lets_the_order_wait_and_the_drive_is_as_it_was(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus, without=(Node.DRIVE_RELEASE,)):
        await until(lambda: is_registered(bus, fsuuid, tmp_path), "registered")

        removal = await remove(bus, fsuuid)

        assert (removal.outcome, "earlier version" in removal.message) == (WAITING, True)
        assert recorded(tmp_path)[fsuuid].status is m.DriveStatus.REMOVED
        assert fsuuid in node.drives
    async with node.running(bus):
        await until(lambda: is_gone(bus, fsuuid), "the agent that was upgraded does it")
