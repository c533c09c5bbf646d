"""A hub of three servers loses one, is cut, is restarted, has a full disk: calls end in time, and nothing is lost."""

import asyncio
import contextlib
import errno
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import nats.errors
import orjson
import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from directpv_cli.local.csi_client import connect, creation
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.units import MIB
from directpv_csi_gateway.pb import csi_pb2 as csi
from support.cluster import Cluster, cluster, eventually, settled
from support.hub import COUNT, SMALL, Hub

CALL_SECONDS = 8.0
LATE_SECONDS = 2.0
"""What a machine that is busy with other things may add."""
WORKERS = 4
NO_SPACE = os.strerror(errno.ENOSPC).lower()
CLEAR = {Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED, Status.ABORTED}
"""What says that a call is to be repeated. Source: CSI specification, "Error Scheme". While the only node was not heard
for so long that it is offline, that there is no room is an answer, too."""


@dataclass
class Told:
    """What callers were told."""

    created: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    unknown: dict[str, str] = field(default_factory=dict)
    """Names, and what was asked for without an answer that says how it ended."""
    wrong: list[str] = field(default_factory=list)
    longest: float = 0.0


class Callers:
    """Create volumes, and delete every third, for as long as the block runs."""

    def __init__(self, socket: str, told: Told, prefix: str) -> None:
        self._socket, self._told, self._prefix = socket, told, prefix
        self.made = 0

    @contextlib.asynccontextmanager
    async def calling(self) -> AsyncIterator["Callers"]:
        over = asyncio.Event()
        tasks = [asyncio.create_task(self._run(over, index)) for index in range(WORKERS)]
        try:
            yield self
        finally:
            over.set()
            await asyncio.gather(*tasks)

    async def more(self, count: int, within: float = 60.0) -> None:
        """Wait until so many more volumes were made."""
        before = self.made
        async with asyncio.timeout(within):
            while self.made < before + count:
                await asyncio.sleep(0.05)

    async def _run(self, over: asyncio.Event, worker: int) -> None:
        for number in range(10**6):
            if over.is_set():
                return
            name = f"pvc-{self._prefix}-{worker}-{number}"
            if await self._call("CreateVolume", creation(name, MIB), name):
                self._told.created.add(name)
                self.made += 1
                if number % 3 == 0 and await self._call("DeleteVolume", csi.DeleteVolumeRequest(volume_id=name), name):
                    self._told.deleted.add(name)
            await asyncio.sleep(0.02)

    async def _call(self, verb: str, request: object, name: str) -> bool:
        """Make one call, with a deadline as sidecars have one; tell whether it was acknowledged."""
        begun = time.monotonic()
        try:
            async with asyncio.timeout(CALL_SECONDS + LATE_SECONDS), connect(self._socket) as client:
                await getattr(client.controller, verb)(request, timeout=CALL_SECONDS)
        except TimeoutError:
            seconds = time.monotonic() - begun
            if seconds > CALL_SECONDS + LATE_SECONDS:
                self._told.wrong.append(f"{verb} {name}: no answer after {seconds:.1f} s")
            self._told.unknown[name] = verb
            return False
        except GRPCError as error:
            unheard = error.status is Status.RESOURCE_EXHAUSTED and error.message.endswith("2 drives: 2 offline")
            if not (error.status in CLEAR or unheard) or not error.message:
                self._told.wrong.append(f"{verb} {name}: {error.status} {error.message}")
            self._told.unknown[name] = verb
            return False
        finally:
            self._told.longest = max(self._told.longest, time.monotonic() - begun)
        return True


async def repeat(socket: str, told: Told) -> None:
    """Ask again for what nobody said how it ended, as sidecars do."""

    async def again(name: str, verb: str) -> None:
        request = creation(name, MIB) if verb == "CreateVolume" else csi.DeleteVolumeRequest(volume_id=name)
        async with connect(socket) as client:
            await getattr(client.controller, verb)(request, timeout=30)

    for name, verb in told.unknown.items():
        await eventually(lambda name=name, verb=verb: again(name, verb), f"{verb} {name} once more")
        (told.created if verb == "CreateVolume" else told.deleted).add(name)
    told.unknown.clear()


@contextlib.asynccontextmanager
async def administrator(running: Cluster) -> AsyncIterator[Bus]:
    async with connect_bus(running.stack.nats_url, name="test", prefix="directpv.v1", nkey=running.key) as bus:
        yield bus


async def events(bus: Bus) -> list[tuple[str, str, str]]:
    """Return id, kind and subject of all events that are kept."""
    found: list[tuple[str, str, str]] = []

    async def read() -> None:
        found.clear()
        try:
            js = bus.client.jetstream(timeout=10)
            stream = await js.subscribe(bus.subjects.all_events, stream=bus.subjects.stream, ordered_consumer=True)
            try:
                pending = (await js.stream_info(bus.subjects.stream)).state.messages
                while pending:
                    message = await stream.next_msg(timeout=20)
                    event, pending = orjson.loads(message.data), message.metadata.num_pending
                    found.append((event["id"], event["type"], event["subject"]))
            finally:
                await stream.unsubscribe()
        except nats.errors.Error as error:
            raise AssertionError(repr(error)) from error

    await eventually(read, "all events are read")
    return found


async def replicated(bus: Bus) -> None:
    """Wait until all servers have all of what is kept."""

    async def current() -> None:
        try:
            info = await bus.client.jetstream(timeout=5).stream_info(bus.subjects.stream)
        except nats.errors.Error as error:
            raise AssertionError(str(error)) from error
        assert info.cluster is not None
        assert info.cluster.leader
        replicas = info.cluster.replicas or []
        assert len(replicas) == COUNT - 1
        assert all(each.current for each in replicas), [(each.name, each.lag) for each in replicas]

    await eventually(current, "all servers have all events")


@contextlib.asynccontextmanager
async def moved(running: Cluster, directory: Path) -> AsyncIterator[Hub]:
    """Let a stack go on with a hub of three servers in place of its own one."""
    stack = running.stack
    own = (stack.directory / "nats.conf").read_text()
    users = own[own.index("authorization {") :]
    with Hub(directory, users).running() as hub:
        services = [name for name in stack.services() if name != "nats"]
        for name in (*services, "nats"):
            running.kill(name)
        stack.nats_url = hub.urls
        for name in services:
            running.start(name)
        yield hub


async def killed(hub: Hub, callers: Callers) -> None:
    victim = random.randrange(COUNT)
    print(f"server {victim}")
    hub.kill(victim)
    await callers.more(10)
    hub.start(victim)
    hub.until_healthy(victim)


async def cut_off(hub: Hub, callers: Callers) -> None:
    victim = random.randrange(COUNT)
    print(f"server {victim}")
    hub.cut(victim)
    await callers.more(10)
    hub.heal(victim)


async def all_restarted(hub: Hub, callers: Callers) -> None:
    for index in range(COUNT):
        hub.kill(index)
    for index in range(COUNT):
        hub.start(index)
    for index in range(COUNT):
        hub.until_healthy(index)


async def disk_full(hub: Hub, callers: Callers) -> None:
    before = hub.said(SMALL).count(NO_SPACE)
    hub.fill()
    async with asyncio.timeout(60):
        while hub.said(SMALL).count(NO_SPACE) == before:  # it has to be written to for that
            await callers.more(1)
    await callers.more(10)
    hub.make_room()
    if not hub.healthy(SMALL):  # as kubelet does
        hub.kill(SMALL)
        hub.start(SMALL)
        hub.until_healthy(SMALL)


FAULTS: dict[str, Callable[[Hub, Callers], Awaitable[None]]] = {
    "a server is killed": killed,
    "a server is cut off": cut_off,
    "all are restarted": all_restarted,
    "a disk is full": disk_full,
}


async def through(running: Cluster, hub: Hub, told: Told, schedule: list[str]) -> None:
    """Let all of it happen while volumes are made and deleted; look after each whether all is well again."""
    told.unknown["pvc-first"] = "CreateVolume"
    await repeat(running.socket, told)  # all programs are there then
    for number, name in enumerate(schedule):
        before = told.longest
        told.longest, begun = 0.0, time.monotonic()
        async with Callers(running.socket, told, str(number)).calling() as callers:
            await callers.more(3)
            await FAULTS[name](hub, callers)
            await callers.more(5)
        print(f"{name}: {time.monotonic() - begun:.1f} s, the longest call {told.longest:.1f} s")
        told.longest = max(told.longest, before)
        assert told.wrong == [], name


async def verdict(running: Cluster, told: Told) -> None:
    await repeat(running.socket, told)
    async with administrator(running) as bus:
        _, volumes = await settled(running, bus)
        assert {volume.record.name for volume in volumes} == told.created - told.deleted
        await replicated(bus)
        kept = await events(bus)
    assert [number for number, times in Counter(number for number, _, _ in kept).items() if times > 1] == []
    made = Counter(subject for _, kind, subject in kept if kind.endswith("volume.created"))
    assert set(made) == told.created
    assert [name for name, times in made.items() if times > 1] == []


@pytest.mark.timeout(240)
async def test_whatever_happens_to_a_hub_of_three_calls_end_in_time_and_nothing_is_lost_or_told_twice(
    tmp_path: Path,
) -> None:
    told = Told()
    with cluster(nodes=1, drives=2, controllers=2) as running:
        await running.initialise()
        async with moved(running, tmp_path) as hub:
            async with administrator(running) as bus:
                await replicated(bus)
            await through(running, hub, told, list(FAULTS))
            await verdict(running, told)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2])
async def test_many_faults_of_a_hub_one_after_another_lose_nothing_either(tmp_path: Path, seed: int) -> None:
    chance, told = random.Random(seed), Told()
    random.seed(seed)
    with cluster(nodes=1, drives=2, controllers=2) as running:
        await running.initialise()
        async with moved(running, tmp_path) as hub:
            await through(running, hub, told, chance.choices(list(FAULTS), k=20))
            await verdict(running, told)
