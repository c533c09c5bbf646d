"""Leaders that freeze: they answer nothing, allocate nothing twice, and forget what they had not committed."""

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.errors import DeadlineExceeded, Unavailable
from directpv_common.protocol.wire import encode
from integration.controller.harness import LEASE_SECONDS, read_registry, until, violations
from integration.controller.leading.asking import Start, create, listed
from integration.controller.node import GIB, PlayedNode
from support import freezing


async def test_a_frozen_leader_that_resumes_answers_nothing_and_allocates_nothing_twice(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    first = controllers("c1")
    node = PlayedNode("n1")
    node.add_drive(total=11 * GIB)
    async with node.running(bus):
        await create(bus, "before")
        first.freeze(tmp_path / "registry.db")
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
        first.freeze(tmp_path / "registry.db")
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


async def test_a_leader_that_is_paused_past_its_lease_forgets_what_it_had_not_committed(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    controller = controllers("c1", rebuild_seconds=0.2)
    node = PlayedNode("n1")
    node.add_drive(total=100 * GIB)
    async with node.running(bus):
        for round_ in range(2):
            await create(bus, f"before-{round_}")
            async with _burst(bus, round_) as answered:
                await answered.wait()  # most of the others were let in, and wait for their turn
                controller.send(signal.SIGSTOP)
                await asyncio.sleep(1.2 * LEASE_SECONDS)  # the lease must expire: that is what is tested
                controller.send(signal.SIGCONT)
        await create(bus, "after")
        in_memory = await listed(bus)
        assert in_memory.keys() == {v.name for v in read_registry(tmp_path / "registry.db").volumes}
        assert len(in_memory) < 2 * BURST, "the pauses met no call"
        assert controller.said("leading no longer")
        for name in ("v0-0", f"v1-{BURST - 1}"):  # no name stays busy
            await create(bus, name, size=1 << 20)


BURST = 2_000
"""Requests of one burst: the leader needs some tenths of a second for them."""


@contextlib.asynccontextmanager
async def _burst(bus: Bus, number: int) -> AsyncIterator[asyncio.Event]:
    """Send requests; yield what is set with the first answer. Nobody repeats them after that.

    A leader that has lost its lease meanwhile, on a busy machine, answers none.
    """
    answered, inbox = asyncio.Event(), bus.client.new_inbox()

    async def heard(_: object) -> None:
        answered.set()

    replies = await bus.client.subscribe(inbox, cb=heard)
    asking = asyncio.create_task(_ask(bus, number, inbox, answered))
    try:
        yield answered
    finally:
        asking.cancel()
        await replies.unsubscribe()


async def _ask(bus: Bus, number: int, inbox: str, answered: asyncio.Event) -> None:
    subject = bus.subjects.controller(Api.VOLUME_CREATE.noun, Api.VOLUME_CREATE.verb)
    while not answered.is_set():
        for each in range(BURST):
            request = encode(m.CreateVolume(name=f"v{number}-{each}", required=1 << 20))
            await bus.client.publish(subject, request, reply=inbox)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(answered.wait(), 5 * LEASE_SECONDS)


async def test_who_hangs_within_a_commit_is_named_and_followed_once_it_is_ended(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    """The kernel keeps its lock of the file: no lease that expires gives that to another one."""
    file = tmp_path / "registry.db"
    first = controllers("c1")
    await until(lambda: first.said('"leading"'), "it leads")
    first.end()
    script = (
        f"import sqlite3, time; file = sqlite3.connect({str(file)!r}, isolation_level=None)\n"
        "file.execute('BEGIN IMMEDIATE'); print(flush=True); time.sleep(600)"
    )
    hangs = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    try:
        assert hangs.stdout is not None
        hangs.stdout.readline()
        freezing.freeze(hangs.pid, tmp_path / "another.db")
        second = controllers("c2")
        named = f"database is locked by process {hangs.pid} (python"
        await until(lambda: second.said(named) and second.said("which is stopped; let it go on, or end it"), "named")
        assert not second.said('"leading"')
    finally:
        hangs.kill()
        hangs.communicate()

    await until(lambda: second.said('"leading"'), "it leads")
