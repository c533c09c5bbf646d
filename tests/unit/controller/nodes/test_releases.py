"""Orders to let go of drives: who asks while one is under way hears of that one."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import DeadlineExceeded, FailedPrecondition
from directpv_controller.core.placing.model import Change, Drive
from directpv_controller.core.reserving import retiring
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.nodes.releases import Releases
from unit.controller.builders import NOW, committed, drive_record, ledger_of


class PlayedBus:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked, self.go = list[m.ReleaseDrive](), asyncio.Event()
        self.refusal = ""

    async def call(self, endpoint: object, request: m.ReleaseDrive, **_: object) -> m.DriveReleased:
        self.asked.append(request)
        await self.go.wait()
        if self.refusal:
            raise FailedPrecondition(self.refusal)
        return m.DriveReleased(released=True, noted=True)


def played() -> tuple[Releases, Ledger, Drive, PlayedBus, list[asyncio.Task[None]]]:
    async def commit(change: Change) -> None:
        change.done()

    tasks: list[asyncio.Task[None]] = []
    spawn: Callable[[Coroutine[None, None, None]], object] = lambda work: tasks.append(asyncio.create_task(work))  # noqa: E731
    ledger, bus = ledger_of(drive_record()), PlayedBus()
    (drive,) = ledger.drives.values()
    committed(retiring.give_up(ledger, drive, m.Wipe.NONE, NOW))
    events: Any = SimpleNamespace(emit=lambda *_, **__: None)
    term: Any = SimpleNamespace(
        ledger=ledger,
        bus=bus,
        events=events,
        commit=commit,
        require_lead=lambda: None,
        fence=m.Fence(registry="r", epoch=1),
    )
    return Releases("n1", term, spawn), ledger, drive, bus, tasks


def state() -> m.NodeState:
    info = m.NodeInfo(name="n1", topology={})
    return m.NodeState(info=info, boot="b", sequence=1)


@pytest.mark.parametrize("refusal", ["", "somebody uses it"])
async def test_who_asks_while_a_heartbeat_gave_the_order_hears_what_came_of_it(refusal: str) -> None:
    releases, ledger, drive, bus, tasks = played()
    bus.refusal = refusal
    releases.heard(state(), (drive,))
    await asyncio.sleep(0)
    asking = asyncio.create_task(releases.release(drive.fsuuid, 20))
    await asyncio.sleep(0)
    bus.go.set()

    if refusal:
        with pytest.raises(FailedPrecondition, match="somebody uses it"):
            await asking
        assert drive.fsuuid in ledger.drives
    else:
        assert (await asking).released
        assert ledger.drives == {}
    await asyncio.gather(*tasks)
    assert len(bus.asked) == 1


async def test_who_cannot_wait_for_it_is_told_so_and_the_order_goes_on() -> None:
    releases, ledger, drive, bus, tasks = played()
    releases.heard(state(), (drive,))
    with pytest.raises(DeadlineExceeded, match="still being asked"):
        await releases.release(drive.fsuuid, 0)
    bus.go.set()
    await asyncio.gather(*tasks)
    assert ledger.drives == {}


async def test_a_drive_that_was_declared_lost_needs_no_word_of_its_node() -> None:
    releases, ledger, drive, bus, tasks = played()
    committed(retiring.give_up_lost(ledger, drive, NOW))
    releases.heard(state(), (drive,))
    assert (tasks, bus.asked) == ([], [])
