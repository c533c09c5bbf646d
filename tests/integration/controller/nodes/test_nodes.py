"""Nodes over the real bus: drives that go and come back, nodes that are away, leaders that ask who is there."""

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.errors import NoCapacity
from integration.controller.drives import has_status, listed
from integration.controller.harness import Controller, read_registry, until
from integration.controller.node import GIB, PlayedNode
from support.nats import NatsServer

Start = Callable[..., Controller]


async def test_a_drive_that_is_lost_and_found_is_shown_so_and_keeps_its_volumes(bus: Bus, controllers: Start) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.READY), "registered")
        await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB))
        pulled = node.drives.pop(fsuuid)
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.LOST), "lost")
        volume = await bus.call(Api.VOLUME_GET, m.VolumeId(name="v1"))
        assert (volume.status, volume.abnormal) == (m.VolumeStatus.LOST, True)

        node.drives[fsuuid] = pulled
        pulled.generation += 1
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.READY), "found again")
        assert not (await bus.call(Api.VOLUME_GET, m.VolumeId(name="v1"))).abnormal


async def test_one_file_system_on_two_nodes_stays_with_the_first_and_is_told_about(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    controllers()
    events: list[str] = []
    await bus.subscribe(bus.subjects.event("controller", "drive", "conflict"), lambda got: events.append(got.subject))
    node, copycat = PlayedNode("n1"), PlayedNode("n2")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.READY), "registered")
        copy = copycat.add_drive(fsuuid=fsuuid)
        copycat.drives = {fsuuid: copycat.drives[copy]}
        async with copycat.running(bus):
            await until(lambda: events, "the conflict is told")
            assert (await listed(bus))[fsuuid].record.node == "n1"
            assert [record.node for record in read_registry(tmp_path / "registry.db").drives] == ["n1"]


async def test_a_restarted_agent_is_asked_for_everything_again(bus: Bus, controllers: Start) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.READY), "registered")
        await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB))
        await until(lambda: node.volumes(), "prepared")
    node.restart()
    node.drives[fsuuid].volumes.clear()
    node.drives[fsuuid].generation = 1
    async with node.running(bus):
        await until(lambda: node.volumes(), "prepared again")


async def test_nodes_are_listed_with_their_sums_and_whether_they_are_heard(bus: Bus, controllers: Start) -> None:
    controllers(online_seconds=1.0)
    node, empty = PlayedNode("n1"), PlayedNode("n2")
    fsuuid = node.add_drive()
    async with empty.running(bus):
        async with node.running(bus):
            await until(lambda: has_status(bus, fsuuid, m.DriveStatus.READY), "registered")
            await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB))
            first, second = (await bus.call(Api.NODE_LIST, m.ListNodes())).nodes
            assert (first.info.name, first.online, first.drives, first.volumes) == ("n1", True, 1, 1)
            assert (first.total, first.allocated) == (100 * GIB, 2 * GIB)
            assert (second.info.name, second.drives) == ("n2", 0)
        await until(lambda: _is_offline(bus, "n1"), "n1 is shown as offline")


async def test_a_node_that_is_not_heard_gets_no_volumes_until_it_is_heard_again(bus: Bus, controllers: Start) -> None:
    controllers(online_seconds=1.0)
    gone, there = PlayedNode("n1"), PlayedNode("n2")
    larger, smaller = gone.add_drive(200 * GIB), there.add_drive(100 * GIB)
    async with there.running(bus):
        async with gone.running(bus):
            await _registered(bus, larger, smaller)
        await until(lambda: _is_offline(bus, "n1"), "n1 is shown as offline")
        assert await _goes_to(bus, "n2")
        with pytest.raises(NoCapacity, match="1 drive on n1: 1 offline"):
            await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="there", requisite=({names.NODE: "n1"},)))
        async with gone.running(bus):
            await until(lambda: _goes_to(bus, "n1"), "n1 gets volumes again")


async def test_a_new_leader_puts_no_volume_on_a_node_that_does_not_answer_it(bus: Bus, controllers: Start) -> None:
    first = controllers("c1", online_seconds=600)
    gone, there = PlayedNode("n1"), PlayedNode("n2")
    larger, smaller = gone.add_drive(200 * GIB), there.add_drive(100 * GIB)
    async with there.running(bus):
        async with gone.running(bus):
            await _registered(bus, larger, smaller)
        first.kill()
        controllers("c2", online_seconds=600)

        assert await _goes_to(bus, "n2")
        with pytest.raises(NoCapacity, match="1 drive on n1: 1 offline"):
            await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="there", requisite=({names.NODE: "n1"},)))
        assert (await bus.call(Api.CAPACITY_GET, m.GetCapacity(accessible={names.NODE: "n1"}))).available == 0
        shown = (await bus.call(Api.DRIVE_LIST, m.ListDrives())).drives
        assert {drive.record.node: drive.online for drive in shown} == {"n1": False, "n2": True}


async def test_nodes_answer_a_new_leader_although_their_heartbeats_are_rare(bus: Bus, controllers: Start) -> None:
    first = controllers("c1", online_seconds=600)
    node = PlayedNode("n1", beat_seconds=600)
    node.add_drive()
    async with node.running(bus):
        assert await _goes_to(bus, "n1")
        first.kill()
        controllers("c2", online_seconds=600)

        assert await _goes_to(bus, "n1")


async def test_a_leader_whose_bus_was_away_takes_no_node_for_offline(
    bus: Bus, controllers: Start, nats: NatsServer
) -> None:
    controller = controllers(online_seconds=1.0, lease_seconds=60)
    node = PlayedNode("n1")
    node.add_drive()
    async with node.running(bus):
        assert await _goes_to(bus, "n1")
        nats.kill()
        await asyncio.sleep(1.5)  # longer than a node may be silent
        nats.start()
        await until(lambda: controller.said("bus reconnected"), "the leader is back on the bus")

        assert await _goes_to(bus, "n1")


async def test_a_node_that_went_while_the_leaders_bus_was_away_gets_no_volumes(
    bus: Bus, controllers: Start, nats: NatsServer
) -> None:
    controller = controllers(online_seconds=600, lease_seconds=60)
    gone, there = PlayedNode("n1"), PlayedNode("n2")
    larger, smaller = gone.add_drive(200 * GIB), there.add_drive(100 * GIB)
    async with there.running(bus), gone.running(bus):
        await _registered(bus, larger, smaller)
        nats.kill()
        gone.silent = True
        nats.start()
        await until(lambda: controller.said("bus reconnected"), "the leader is back on the bus")

        assert [await _goes_to(bus, "n2") for _ in range(3)] == [True] * 3


async def _registered(bus: Bus, *fsuuids: str) -> None:
    for fsuuid in fsuuids:
        await until(lambda fsuuid=fsuuid: has_status(bus, fsuuid, m.DriveStatus.READY), "registered")


async def _goes_to(bus: Bus, node: str) -> bool:
    name = f"v-{uuid.uuid4()}"
    return (await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name=name, required=GIB), within=30)).node == node


async def _is_offline(bus: Bus, name: str) -> bool:
    nodes = (await bus.call(Api.NODE_LIST, m.ListNodes())).nodes
    return not next(node.online for node in nodes if node.info.name == name)


async def test_a_heartbeat_on_another_nodes_subject_is_ignored(bus: Bus, controllers: Start) -> None:
    controllers()
    await listed(bus)
    liar = PlayedNode("n1")
    liar.add_drive()
    await bus.publish(bus.subjects.state("n2"), liar.state)
    honest = PlayedNode("n3")
    async with honest.running(bus):
        await until(lambda: _knows(bus, "n3"), "the honest node is heard")

    assert not await _knows(bus, "n1")


async def _knows(bus: Bus, name: str) -> bool:
    return name in {node.info.name for node in (await bus.call(Api.NODE_LIST, m.ListNodes(), within=20)).nodes}


async def test_a_drive_of_thousands_of_volumes_is_taken_in_part_by_part_beside_its_neighbours(
    bus: Bus, controllers: Start
) -> None:
    controllers(rebuild_seconds=0.2)
    node = PlayedNode("n1")
    crowded, other = node.add_drive(total=4000 * GIB), node.add_drive()
    node.page = 500
    for number in range(3_000):
        record = m.VolumeRecord(name=f"v{number:04}", fsuuid=crowded, capacity=GIB)
        node.drives[crowded].volumes[record.name] = record
    node.drives[other].volumes["w"] = m.VolumeRecord(name="w", fsuuid=other, capacity=GIB)
    async with node.running(bus):
        await until(lambda: _counts(bus, {crowded: 3_000, other: 1}), "all volumes are taken in", 60)
        node.prepared.clear()
        node.drives[crowded].generation += 1
        del node.drives[crowded].volumes["v1234"]
        await until(lambda: "v1234" in node.prepared, "what is missing on it is found and made again", 60)


async def _counts(bus: Bus, expected: dict[str, int]) -> bool:
    return {fsuuid: info.volumes for fsuuid, info in (await listed(bus)).items()} == expected


async def test_a_drive_whose_inventory_cannot_be_told_is_lost_all_the_same_when_its_node_says_so(
    bus: Bus, controllers: Start
) -> None:
    controller = controllers(rebuild_seconds=0.2)
    node = PlayedNode("n1")
    pulled, other = node.add_drive(), node.add_drive()
    async with node.running(bus):
        await _registered(bus, pulled, other)
        node.mute.add(pulled)
        drive = node.drives[pulled]
        drive.record = msgspec.structs.replace(drive.record, status=m.DriveStatus.LOST, device="")
        drive.generation += 1
        node.drives[other].volumes["w"] = m.VolumeRecord(name="w", fsuuid=other, capacity=GIB)
        node.drives[other].generation += 1

        await until(lambda: has_status(bus, pulled, m.DriveStatus.LOST), "told by the heartbeat alone")
        await until(lambda: _counts(bus, {pulled: 0, other: 1}), "its neighbour is taken in")
        await until(lambda: controller.said("no inventory"), "it is told that nothing was told")
        created = await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB), within=20)
        assert created.record.fsuuid == other

        drive.record = msgspec.structs.replace(drive.record, status=m.DriveStatus.READY, device="sda")
        drive.generation += 1
        await until(lambda: has_status(bus, pulled, m.DriveStatus.READY), "and well again")


async def test_nonsense_of_one_node_is_not_recorded_and_every_list_can_still_be_read(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    controller = controllers(rebuild_seconds=0.2)
    liar, honest = PlayedNode("n1"), PlayedNode("n2")
    absurd, fine = liar.add_drive(total=2**63 - 1), honest.add_drive()
    doubtful = liar.add_drive()
    record = m.VolumeRecord(name="v1", fsuuid=doubtful, capacity=1, labels={"a": "x" * 600_000})
    liar.drives[doubtful].volumes["v1"] = record
    async with liar.running(bus), honest.running(bus):
        await _registered(bus, fine, doubtful)
        await until(lambda: _knows(bus, "n1"), "the liar is heard")

        assert (await listed(bus)).keys() == {fine, doubtful}
        assert (await bus.call(Api.NODE_LIST, m.ListNodes(), within=20)).nodes
        assert [each.fsuuid for each in read_registry(tmp_path / "registry.db").drives if each.fsuuid == absurd] == []
        assert read_registry(tmp_path / "registry.db").volumes == []
        assert await controller.metric("directpv_controller_drives_not_reconciled") == 1
