"""Leaders that die, stop or lose the bus: another one leads, and nothing acknowledged is lost."""

import asyncio
import contextlib
import random
import signal
from pathlib import Path

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.api import Controller as Api
from integration.controller.harness import until, violations
from integration.controller.leading.asking import Start, create, leader, listed
from integration.controller.node import PlayedNode
from support.nats import NatsServer


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
