"""A registry that is lost, new, foreign or partly unreadable: nothing is lost, nothing foreign touched."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.bus.cloud_event import TYPE_PREFIX, CloudEvent
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.errors import DeadlineExceeded, Unavailable
from directpv_common.protocol.wire import decode
from integration.controller.harness import read_registry, until, violations
from integration.controller.leading.asking import Start, create, leader, listed
from integration.controller.node import GIB, PlayedNode
from support.nats import NatsServer


async def test_a_deleted_registry_is_rebuilt_from_the_drives(bus: Bus, controllers: Start, tmp_path: Path) -> None:
    controllers("c1")
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    path = tmp_path / "registry.db"
    async with node.running(bus):
        for i in range(10):
            await create(bus, f"v{i}")
        await until(lambda: len(node.volumes()) == 10, "all are prepared")
        before = await listed(bus)
        was = (await leader(bus))["registry"]

        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        await until(lambda: _leads_another(bus, was), "a leader with a new registry")

        await create(bus, "v3")
        await create(bus, "new")
        assert await listed(bus) == {**before, "new": (await listed(bus))["new"]}
        assert node.drives[fsuuid].volumes["v3"] == before["v3"]
        assert violations(path) == []


async def _leads_another(bus: Bus, was: str) -> bool:
    return (await leader(bus)).get("registry", was) != was


async def test_a_new_registry_waits_for_inventories_before_it_places_a_volume(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    held = m.VolumeRecord(name="old", fsuuid=fsuuid, capacity=5 * GIB)
    node.drives[fsuuid].volumes["old"] = held
    controllers("c1", rebuild_seconds=1.5)
    async with node.running(bus):
        repeated = await create(bus, "old", size=5 * GIB)

        assert repeated.record == held
        assert [v.name for v in read_registry(tmp_path / "registry.db").volumes] == ["old"]


async def test_a_new_registry_waits_for_drives_that_take_long_to_tell_what_is_on_them(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    node = PlayedNode("n1")
    crowded, empty = node.add_drive(total=50 * GIB), node.add_drive(total=100 * GIB)
    held = m.VolumeRecord(name="old", fsuuid=crowded, capacity=5 * GIB)
    node.drives[crowded].volumes["old"] = held
    told = asyncio.Event()
    node.slow[crowded] = told
    async with node.running(bus):
        controller = controllers("c1", rebuild_seconds=3)  # time for the node to be heard at all
        await until(lambda: controller.said("waiting for drives to be taken in"), "it says what it waits for", 40)
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await create(bus, "old", size=5 * GIB, within=2)
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="another"), within=2)

        told.set()
        assert (await create(bus, "old", size=5 * GIB)).record == held
        assert [v.fsuuid for v in read_registry(tmp_path / "registry.db").volumes] == [crowded]
        assert node.drives[empty].volumes == {}


LOW, HIGH = "00000000-0000-4000-8000-000000000001", "ffffffff-0000-4000-8000-000000000001"


@pytest.mark.parametrize(("other", "crowded"), [(HIGH, LOW), (LOW, HIGH)], ids=["id below", "id above"])
async def test_a_new_registry_waits_for_the_last_part_of_a_drive_that_is_told_in_parts(
    bus: Bus, controllers: Start, tmp_path: Path, other: str, crowded: str
) -> None:
    node = PlayedNode("n1")
    node.add_drive(fsuuid=other)  # where all would go
    node.add_drive(fsuuid=crowded, total=50 * GIB)
    node.page, node.next_part = 2, asyncio.Event()
    held = {f"v{number}": m.VolumeRecord(name=f"v{number}", fsuuid=crowded, capacity=GIB) for number in range(5)}
    node.drives[crowded].volumes.update(held)
    async with node.running(bus):
        controller = controllers("c1", rebuild_seconds=1)
        await until(lambda: controller.said("waiting for drives to be taken in"), "it says what it waits for", 40)
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await create(bus, "v4", within=2)
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="v3"), within=2)

        node.next_part.set()
        await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="v3"), within=20)
        del held["v3"]
        assert {name: (await create(bus, name)).record for name in held} == held
        await until(lambda: node.volumes() == held, "each volume is where it was, and the deleted one is nowhere")
        assert violations(tmp_path / "registry.db") == []


async def test_a_drive_whose_parts_were_cut_short_is_asked_for_again(bus: Bus, controllers: Start) -> None:
    controllers(rebuild_seconds=0.2)
    node = PlayedNode("n1")
    crowded = node.add_drive()
    node.page = 2
    for number in range(5):
        record = m.VolumeRecord(name=f"v{number}", fsuuid=crowded, capacity=GIB)
        node.drives[crowded].volumes[record.name] = record
    node.unavailable_parts = 2
    async with node.running(bus):
        await until(lambda: _has(bus, 5), "all volumes are taken in", 40)


async def _has(bus: Bus, volumes: int) -> bool:
    return len(await listed(bus)) == volumes


async def test_a_volume_of_a_drive_that_a_new_registry_could_not_read_yet_is_not_said_to_be_deleted(
    bus: Bus, controllers: Start
) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid, _ = node.add_drive(), node.add_drive()
    held = node.drives[fsuuid]
    held.volumes["v1"] = m.VolumeRecord(name="v1", fsuuid=fsuuid, capacity=GIB)
    held.readable, held.record = False, msgspec.structs.replace(held.record, status=m.DriveStatus.ERROR)
    async with node.running(bus):
        with pytest.raises(Unavailable, match=fsuuid):
            await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="v1"), within=4)

        held.readable, held.record = True, msgspec.structs.replace(held.record, status=m.DriveStatus.READY)
        held.generation += 1
        await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="v1"), within=20)
        assert node.volumes() == {}
        await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="v2"), within=20)


async def test_a_file_that_is_no_registry_ends_the_process_and_is_left_alone(
    nats: NatsServer, controllers: Start, tmp_path: Path
) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(b"not a database, but somebody's data" * 200)
    content = path.read_bytes()
    controller = controllers("c1")

    await until(lambda: controller.popen.poll() is not None, "the process ends")
    assert controller.popen.returncode == 1
    assert controller.said("file is not a database")
    assert controller.said("move it away")
    assert not controller.said("Traceback")
    assert path.read_bytes() == content


async def test_a_record_that_cannot_be_read_stops_nothing_and_is_told_until_its_node_reports_what_it_was(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    first = controllers("c1")
    node = PlayedNode("n1")
    node.add_drive()
    async with node.running(bus):
        made = await create(bus, "v1")
        await create(bus, "v2")
        await until(lambda: node.volumes().keys() == {"v1", "v2"}, "prepared")
    await asyncio.to_thread(first.end)
    with closing(sqlite3.connect(tmp_path / "registry.db", isolation_level=None)) as registry:
        registry.execute("UPDATE volumes SET record = '{\"name\": 1}' WHERE name = 'v1'")

    told: list[tuple[str, str]] = []
    await bus.subscribe(bus.subjects.all_events, lambda message: told.append(_what(decode(message.data, CloudEvent))))
    second = controllers("c2")
    assert (await listed(bus)).keys() == {"v2"}
    await until(lambda: second.said("record left out"), "the log says so")
    await until(lambda: ("volume.unreadable", "v1") in told, "people are told")
    assert await second.metric("directpv_controller_unreadable_records") == 1
    for endpoint, request in _about("v1"):
        with pytest.raises((Unavailable, DeadlineExceeded), match="start the agent"):
            await bus.call(endpoint, request, within=1, patient=False)

    async with node.running(bus):
        await until(lambda: _is_listed(bus, "v1"), "it is taken in from its drive")
        assert (await create(bus, "v1")).record.fsuuid == made.record.fsuuid
        assert await second.metric("directpv_controller_unreadable_records") == 0
    assert {record.name for record in read_registry(tmp_path / "registry.db").volumes} == {"v1", "v2"}
    assert violations(tmp_path / "registry.db") == []


def _what(event: CloudEvent) -> tuple[str, str]:
    return event.type.removeprefix(TYPE_PREFIX), event.subject


def _about(name: str) -> list[tuple[Any, object]]:
    """Every request that must not take a volume for one that never was."""
    return [
        (Api.VOLUME_CREATE, m.CreateVolume(name=name, required=GIB)),
        (Api.VOLUME_GET, m.VolumeId(name=name)),
        (Api.VOLUME_DELETE, m.VolumeId(name=name)),
        (Api.VOLUME_EXPAND, m.ExpandVolume(name=name, required=2 * GIB)),
        (Api.VOLUME_CHANGE, m.ChangeVolume(name=name, suspended=True)),
    ]


async def _is_listed(bus: Bus, name: str) -> bool:
    return name in await listed(bus)


async def test_a_database_of_another_program_is_refused(nats: NatsServer, controllers: Start, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "registry.db")) as other:
        other.execute("CREATE TABLE theirs (x)")

    controller = controllers("c1")
    await until(lambda: controller.popen.poll() is not None, "the process ends")
    assert controller.said("belongs to another program")
