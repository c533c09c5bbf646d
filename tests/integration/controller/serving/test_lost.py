"""Drives and nodes that are dead, over the real bus and file: their volumes go with them, and none comes back."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.bus.cloud_event import CloudEvent
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.errors import FailedPrecondition, NotFound
from directpv_common.protocol.wire import decode, encode
from integration.controller.drives import has_status, listed
from integration.controller.harness import Controller, read_registry, until, violations
from integration.controller.node import GIB, PlayedNode

Start = Callable[..., Controller]
READY, LOST = m.DriveStatus.READY, m.DriveStatus.LOST
NAMES = {"csi.storage.k8s.io/pvc/name": "data-0", "csi.storage.k8s.io/pvc/namespace": "shop"}


async def remove(bus: Bus, fsuuid: str, **flags: Any) -> m.DriveRemoval:
    return await bus.call(Api.DRIVE_REMOVE, m.RemoveDrive(fsuuid=fsuuid, lost=True, **flags), within=30)


async def remove_node(bus: Bus, node: str, **flags: Any) -> m.NodeRemoval:
    return await bus.call(Api.NODE_REMOVE, m.RemoveNode(node=node, **flags), within=30)


async def create(bus: Bus, name: str) -> m.VolumeInfo:
    request = m.CreateVolume(name=name, required=GIB, parameters=NAMES)
    return await bus.call(Api.VOLUME_CREATE, request, within=20)


async def events_of(bus: Bus) -> list[CloudEvent]:
    found: list[CloudEvent] = []
    await bus.subscribe(bus.subjects.all_events, lambda message: found.append(decode(message.data, CloudEvent)))
    await bus.client.flush()
    return found


def pull(node: PlayedNode, fsuuid: str) -> None:
    drive = node.drives[fsuuid]
    drive.record = msgspec.structs.replace(drive.record, status=LOST, device="")
    drive.readable, drive.generation = False, drive.generation + 1


async def test_a_lost_drive_goes_with_its_volumes_after_a_plan_and_comes_back_to_nobody(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    first = controllers("c1")
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, READY), "registered")
        await create(bus, "v1")
        await until(lambda: "v1" in node.volumes(), "prepared")
        with pytest.raises(FailedPrecondition, match="is Ready, and is not given up"):
            await remove(bus, fsuuid)
        pull(node, fsuuid)
        await until(lambda: has_status(bus, fsuuid, LOST), "lost")
        events = await events_of(bus)

        plan = await remove(bus, fsuuid, dry_run=True)
        assert (plan.outcome, plan.count) == (m.RemovalOutcome.WOULD_REMOVE, 1)
        assert [(each.name, each.pvc_namespace, each.pvc_name) for each in plan.volumes] == [("v1", "shop", "data-0")]
        assert len(read_registry(tmp_path / "registry.db").volumes) == 1

        done = await remove(bus, fsuuid)
        assert (done.outcome, done.count) == (m.RemovalOutcome.REMOVED, 1)
        snapshot = read_registry(tmp_path / "registry.db")
        assert (snapshot.drives, snapshot.volumes) == ([], [])
        assert (await remove(bus, fsuuid)).outcome is m.RemovalOutcome.REMOVED
        assert (await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="v1"), within=20)) == m.Done()
        await until(lambda: any(event.type.endswith("volume.given-up") for event in events), "told")
        (told,) = [event.data for event in events if event.type.endswith("volume.given-up")]
        assert (told["claim"], "delete the claim" in told["advice"]) == ("shop/data-0", True)

        lost = node.drives.get(fsuuid)
        first.kill()
        controllers("c2")
        node.unwritable = True
        if lost is not None:
            node.drives[fsuuid] = lost
        await until(lambda: any(order.lost for order in node.releases), "the node is told, with all that is on it")
        assert await listed(bus) == {}


async def test_what_a_leader_had_begun_that_was_killed_the_next_one_ends(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    """Killed after the intent: written here by hand, as the leader writes it."""
    first = controllers("c1")
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, READY), "registered")
        await create(bus, "v1")
    first.kill()
    with closing(sqlite3.connect(tmp_path / "registry.db")) as connection, connection:
        (data,) = connection.execute("SELECT record FROM drives").fetchone()
        record = msgspec.structs.replace(decode(data, m.DriveRecord), status=m.DriveStatus.REMOVED, removal="lost")
        connection.execute("UPDATE drives SET record = ?", (encode(record),))
    controllers("c2")

    await until(lambda: read_registry(tmp_path / "registry.db").drives == [], "the drive goes")
    assert read_registry(tmp_path / "registry.db").volumes == []
    assert violations(tmp_path / "registry.db") == []


async def test_a_node_that_is_gone_goes_with_its_drives_and_is_not_taken_in_silently_when_it_is_back(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    controllers("c1", online_seconds=1)
    node, other = PlayedNode("n1"), PlayedNode("n2")
    drives, kept = [node.add_drive(), node.add_drive()], other.add_drive()
    async with other.running(bus):
        async with node.running(bus):
            for fsuuid in (*drives, kept):
                await until(lambda fsuuid=fsuuid: has_status(bus, fsuuid, READY), "registered")
            for number in range(3):
                await create(bus, f"v{number}")
            with pytest.raises(FailedPrecondition, match="n1 is there"):
                await remove_node(bus, "n1")
        with pytest.raises(NotFound, match="n9 is unknown"):
            await remove_node(bus, "n9")

        async def away() -> bool:
            return not (await listed(bus))[drives[0]].online

        await until(away, "the node is away")
        plan = await remove_node(bus, "n1", dry_run=True)
        assert {each.fsuuid for each in plan.drives} == set(drives)
        assert len(read_registry(tmp_path / "registry.db").drives) == 3

        removal = await remove_node(bus, "n1")

        assert sum(each.count for each in removal.drives) == sum(each.count for each in plan.drives) > 0
        assert [record.fsuuid for record in read_registry(tmp_path / "registry.db").drives] == [kept]
        assert {record.fsuuid for record in read_registry(tmp_path / "registry.db").volumes} <= {kept}
        nodes = await bus.call(Api.NODE_LIST, m.ListNodes(), within=20)
        assert [each.info.name for each in nodes.nodes] == ["n2"]
        for drive in node.drives.values():
            drive.volumes.clear()
        async with node.running(bus):
            await until(lambda: node.noted == set(drives), "its disks are told")
            assert (await listed(bus)).keys() == {kept}
        assert violations(tmp_path / "registry.db") == []


async def test_that_a_node_was_given_up_is_remembered_whoever_leads_and_its_return_is_told_once(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    events = await events_of(bus)
    first = controllers("c1", online_seconds=1)
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, READY), "registered")
    await until(lambda: is_away(bus, fsuuid), "the node is away")
    await remove_node(bus, "n1")
    since = (await remove_node(bus, "n1")).since

    first.kill()
    second = controllers("c2", online_seconds=1)
    assert (await remove_node(bus, "n1")).since == since != ""
    with pytest.raises(NotFound):
        await remove_node(bus, "n9")

    node.noted.clear()
    async with node.running(bus):
        (shown,) = await until(lambda: shown_nodes(bus), "heard, and noted")
        assert (shown.info.name, shown.given_up, shown.drives) == ("n1", since, 0)
        await until(lambda: returned(events), "told")
        second.kill()
        controllers("c3", online_seconds=1)
        (shown,) = await until(lambda: shown_nodes(bus), "heard by another leader")
        assert shown.given_up == since
        new = node.add_drive()
        await until(lambda: has_status(bus, new, READY), "a new drive")

        async def forgotten() -> bool:
            return notes(tmp_path / "registry.db") == []

        await until(forgotten, "it is a node as any other")
        assert [each.given_up for each in (await bus.call(Api.NODE_LIST, m.ListNodes(), within=20)).nodes] == [""]
    (told,) = returned(events)
    assert since in told["cause"]


async def is_away(bus: Bus, fsuuid: str) -> bool:
    return not (await listed(bus))[fsuuid].online


async def shown_nodes(bus: Bus) -> list[m.NodeSummary]:
    """Return the nodes that were given up and are heard."""
    return [each for each in (await bus.call(Api.NODE_LIST, m.ListNodes(), within=20)).nodes if each.given_up]


def returned(events: list[CloudEvent]) -> list[dict[str, Any]]:
    return [event.data for event in events if event.type.endswith("node.returned")]


def notes(path: Path) -> list[str]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return [key for (key,) in connection.execute("SELECT key FROM meta WHERE key LIKE 'given-up/%'")]


async def test_a_volume_sealed_for_a_drive_that_the_registry_never_knew_waits_until_that_is_given_up(
    bus: Bus, controllers: Start
) -> None:
    """The registry was restored from before the drive, whose disk may have what was written last."""
    controllers("c1")
    node, strange = PlayedNode("n1"), "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, READY), "registered")
        await create(bus, "v1")
        await until(lambda: "v1" in node.volumes(), "prepared")
        drive = node.drives[fsuuid]
        with pytest.raises(NotFound):
            await remove(bus, strange)
        drive.sealed["v1"], drive.generation = ("0123456789abcdef", strange), drive.generation + 1

        async def plan() -> m.DriveRemoval | None:
            try:
                return await remove(bus, strange, dry_run=True)
            except NotFound:
                return None

        planned = await until(plan, "the seal is known")
        assert (planned.outcome, planned.node) == (m.RemovalOutcome.WOULD_REMOVE, "n1")
        assert "v1: moved to it" in planned.message
        drive.generation += 1
        assert "v1" in drive.sealed
        assert (await remove(bus, strange)).outcome is m.RemovalOutcome.REMOVED
        await until(lambda: "v1" not in drive.sealed, "unsealed")
        assert "was removed already" in (await remove(bus, strange)).message
