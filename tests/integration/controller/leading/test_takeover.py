"""Leaders that freeze, die or lose their registry: nothing is allocated twice, nothing acknowledged is lost."""

import asyncio
import contextlib
import json
import random
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.errors import DeadlineExceeded, Unavailable
from integration.controller.harness import LEASE_SECONDS, Controller, read_registry, until, violations
from integration.controller.node import GIB, PlayedNode
from support.nats import NatsServer

Start = Callable[..., Controller]


async def create(bus: Bus, name: str, size: int = GIB, within: float = 30.0) -> m.VolumeInfo:
    return await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name=name, required=size), within=within, attempt=1.0)


async def listed(bus: Bus) -> dict[str, m.VolumeRecord]:
    found: dict[str, m.VolumeRecord] = {}
    token = ""
    while True:
        page = await bus.call(Api.VOLUME_LIST, m.ListVolumes(token=token), within=20, attempt=1.0)
        found.update((info.record.name, info.record) for info in page.volumes)
        token = page.next
        if not token:
            return found


async def leader(bus: Bus) -> dict[str, str]:
    """Return the metadata of the service that answers."""
    with contextlib.suppress(Exception):
        reply = await bus.client.request("$SRV.INFO.directpv-controller", b"", timeout=0.5)
        return dict(json.loads(reply.data)["metadata"])
    return {}


async def test_a_frozen_leader_that_resumes_answers_nothing_and_allocates_nothing_twice(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    first = controllers("c1")
    node = PlayedNode("n1")
    node.add_drive(total=11 * GIB)
    async with node.running(bus):
        await create(bus, "before")
        first.send(signal.SIGSTOP)
        second = controllers("c2")
        await create(bus, "after", size=8 * GIB)
        await until(lambda: bool(node.epochs), "the new leader has given an order")
        old_epoch = max(node.epochs.values())

        first.send(signal.SIGCONT)
        outcomes = await asyncio.gather(*(create(bus, f"late{i}", within=5) for i in range(5)), return_exceptions=True)

        assert sum(isinstance(outcome, m.VolumeInfo) for outcome in outcomes) == 1
        assert violations(tmp_path / "registry.db") == []
        assert sum(v.capacity for v in read_registry(tmp_path / "registry.db").volumes) == 10 * GIB
        await until(lambda: first.said("leading no longer"), "the old leader steps down")
        assert max(node.epochs.values()) >= old_epoch
        assert not second.said("leading no longer")


async def test_a_frozen_leader_that_resumes_does_not_even_answer_questions(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    first = controllers("c1")
    node = PlayedNode("n1")
    node.add_drive()
    async with node.running(bus):
        await create(bus, "before")
        first.send(signal.SIGSTOP)
        asked = [
            asyncio.create_task(bus.call(Api.VOLUME_LIST, m.ListVolumes(), within=LEASE_SECONDS + 4, attempt=60))
            for _ in range(20)
        ]
        await asyncio.sleep(LEASE_SECONDS)  # the lease must expire: that is what is tested
        with closing(sqlite3.connect(tmp_path / "registry.db", isolation_level=None)) as registry:
            registry.execute(
                "UPDATE lease SET holder = 'another', locked = 0, epoch = epoch + 1, expires = expires + 60000000000"
            )
        first.send(signal.SIGCONT)
        answers = await asyncio.gather(*asked, return_exceptions=True)

        assert {type(answer) for answer in answers} == {DeadlineExceeded}


async def test_a_leader_that_died_is_replaced_at_once_and_not_when_its_lease_expires(
    bus: Bus, controllers: Start
) -> None:
    first = controllers("c1", lease_seconds=200)
    node = PlayedNode("n1")
    node.add_drive()
    async with node.running(bus):
        await create(bus, "before")
        second = controllers("c2", lease_seconds=200)
        await until(lambda: second.said("standing by"), "the standby is ready")
        first.kill()

        await create(bus, "after", within=20)
        assert set(await listed(bus)) == {"before", "after"}


async def test_commits_of_a_frozen_leader_are_fenced(bus: Bus, controllers: Start, tmp_path: Path) -> None:
    """The lease row is taken over while the leader thinks that it leads: the commit itself must fail."""
    first = controllers("c1", lease_seconds=60)
    node = PlayedNode("n1")
    node.add_drive()
    async with node.running(bus):
        await create(bus, "before")
        with closing(sqlite3.connect(tmp_path / "registry.db", isolation_level=None)) as registry:
            registry.execute("UPDATE lease SET holder = 'another', locked = 0, epoch = epoch + 1")

        with pytest.raises((Unavailable, DeadlineExceeded)):
            await create(bus, "after", within=3)
        assert [v.name for v in read_registry(tmp_path / "registry.db").volumes] == ["before"]
        assert first.said("is over; the lease is")


async def test_every_acknowledged_volume_survives_kill_9_in_a_burst_and_the_rest_can_be_repeated(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    first = controllers("c1")
    nodes = [PlayedNode(f"n{i}") for i in range(2)]
    async with contextlib.AsyncExitStack() as running:
        for node in nodes:
            for _ in range(4):
                node.add_drive()
            await running.enter_async_context(node.running(bus))
        await create(bus, "first")
        acknowledged: set[str] = set()
        fatal = random.randrange(20, 200)

        async def worker(some: list[str]) -> None:
            for name in some:
                await create(bus, name)
                acknowledged.add(name)
                if len(acknowledged) == fatal:
                    first.popen.kill()

        names = [f"v{i}" for i in range(300)]
        burst = asyncio.gather(*(worker(names[start::20]) for start in range(20)))
        await until(lambda: first.popen.poll() is not None, "the leader is dead")
        at_kill = set(acknowledged)
        controllers("c2")
        await burst

        assert at_kill < acknowledged
        assert set(await listed(bus)) == {"first", *names}
        assert violations(tmp_path / "registry.db") == []
        homes = {name: record.fsuuid for name, record in (await listed(bus)).items()}
        await until(lambda: sum(len(node.volumes()) for node in nodes) == 301, "all are prepared")
        for node in nodes:
            assert {name: record.fsuuid for name, record in node.volumes().items()}.items() <= homes.items()


async def test_a_standby_takes_over_at_once_when_the_leader_is_told_to_stop(bus: Bus, controllers: Start) -> None:
    first = controllers("c1", lease_seconds=9)
    node = PlayedNode("n1")
    node.add_drive()
    async with node.running(bus):
        await create(bus, "before")
        controllers("c2", lease_seconds=9)
        was = (await leader(bus))["holder"]
        loop = asyncio.get_running_loop()
        begun = loop.time()
        assert await asyncio.to_thread(first.end) == 0

        await create(bus, "after")
        assert loop.time() - begun < 8
        assert (await leader(bus))["holder"] != was


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


async def test_a_leader_that_is_paused_past_its_lease_forgets_what_it_had_not_committed(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    controller = controllers("c1", rebuild_seconds=0.2)
    node = PlayedNode("n1")
    node.add_drive(total=100 * GIB)
    async with node.running(bus):
        await create(bus, "first")
        for round_ in range(4):
            names = [f"v{round_}-{number}" for number in range(300)]
            burst = [asyncio.create_task(_attempt(bus, name)) for name in names]
            await asyncio.sleep(0.02 * round_)  # wherever the pause meets it, the rule holds
            controller.send(signal.SIGSTOP)
            await asyncio.sleep(1.2 * LEASE_SECONDS)
            controller.send(signal.SIGCONT)
            await asyncio.gather(*burst)
        in_memory = await listed(bus)
        assert in_memory.keys() == {v.name for v in read_registry(tmp_path / "registry.db").volumes}
        assert controller.said("leading no longer")
        for name in ("v0-0", "v3-299"):  # no name stays busy
            await create(bus, name, size=1 << 20)


async def _attempt(bus: Bus, name: str) -> None:
    with contextlib.suppress(Unavailable, DeadlineExceeded):
        await create(bus, name, size=1 << 20, within=0.8)


async def test_calls_in_flight_reach_a_new_leader_as_soon_as_it_answers(
    nats: NatsServer, bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    leaders = {name: controllers(name) for name in ("c1", "c2")}
    node = PlayedNode("n1")
    node.add_drive()
    async with (
        node.running(bus),
        connect_bus(nats.url, name="gateway", prefix="directpv.v1") as caller,
    ):
        await caller.follow_leader()
        await create(bus, "first")
        pid = int((await leader(bus))["pid"])
        dies = next(controller for controller in leaders.values() if controller.popen.pid == pid)
        dies.send(signal.SIGSTOP)  # it has the calls, and will never answer them
        calls = [
            asyncio.create_task(
                caller.call(Api.VOLUME_CREATE, m.CreateVolume(name=f"v{number}", required=1), within=60, attempt=60)
            )
            for number in range(20)
        ]
        await asyncio.sleep(0.1)
        dies.kill()
        done = await asyncio.gather(*calls)  # not after the attempt's 60 s: the test's own limit is less

    assert len({info.record.name for info in done}) == 20


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

    second = controllers("c2")
    assert (await listed(bus)).keys() == {"v2"}
    assert second.said("record left out")
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


async def test_a_leader_without_bus_steps_down_and_leads_again_when_the_bus_is_back(
    nats: NatsServer, bus: Bus, controllers: Start
) -> None:
    controller = controllers("c1")
    node = PlayedNode("n1")
    node.add_drive()
    async with node.running(bus):
        await create(bus, "before")
        nats.kill()
        await until(lambda: controller.said("the bus is away for longer than a lease"), "it steps down")

        nats.start()
        await create(bus, "after")
        assert set(await listed(bus)) == {"before", "after"}


async def test_messages_lost_while_the_bus_was_away_are_made_up_for(
    nats: NatsServer, bus: Bus, controllers: Start
) -> None:
    controllers("c1", lease_seconds=30)
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await create(bus, "v1")
        await until(lambda: node.volumes(), "prepared")
        nats.kill()
        node.drives[fsuuid].volumes.clear()
        node.drives[fsuuid].generation += 1
        nats.start()

        await until(lambda: node.volumes(), "prepared again")
