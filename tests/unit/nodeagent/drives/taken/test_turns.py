"""Who works on a volume when: single-flight rules of the node path."""

import asyncio
import threading

import pytest

from directpv_common.protocol.errors import Busy, DriveFault
from directpv_nodeagent.drives.taken.turns import Turns
from directpv_nodeagent.linux.executor import DriveExecutors


class Held:
    """One operation that holds its turn until told to end."""

    def __init__(self, turns: Turns, *names: str, kind: str, target: str = "") -> None:
        self.entered = asyncio.Event()
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._run(turns, names, kind, target))

    async def _run(self, turns: Turns, names: tuple[str, ...], kind: str, target: str) -> None:
        async with turns.take(*names, kind=kind, target=target):
            self.entered.set()
            await self.leave.wait()

    async def end(self) -> None:
        self.leave.set()
        await self.task


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def turns() -> Turns:
    return Turns(DriveExecutors())


async def test_another_operation_on_the_same_volume_is_refused_while_one_runs(turns: Turns) -> None:
    stage = Held(turns, "v", kind="stage")
    await stage.entered.wait()

    with pytest.raises(Busy, match="stage is running"):
        async with turns.take("v", kind="unstage"):
            pass
    async with turns.take("other", kind="unstage"):
        pass
    await stage.end()
    async with turns.take("v", kind="unstage"):
        pass


async def test_publishing_to_other_targets_waits_in_order(turns: Turns) -> None:
    first = Held(turns, "v", kind="publish", target="/a")
    await first.entered.wait()
    second = Held(turns, "v", kind="publish", target="/b")
    third = Held(turns, "v", kind="unpublish", target="/c")
    await settle()

    assert not second.entered.is_set()
    await first.end()
    await second.entered.wait()
    assert not third.entered.is_set()
    await second.end()
    await third.end()


async def test_the_same_target_is_refused_while_it_is_worked_on(turns: Turns) -> None:
    first = Held(turns, "v", kind="publish", target="/a")
    await first.entered.wait()

    with pytest.raises(Busy):
        async with turns.take("v", kind="unpublish", target="/a"):
            pass
    await first.end()


async def test_a_leaders_batch_waits_for_each_of_its_volumes_and_crossing_batches_do_not_block_each_other(
    turns: Turns,
) -> None:
    stage = Held(turns, "b", kind="stage")
    await stage.entered.wait()
    first = Held(turns, "a", "b", kind="prepare")
    second = Held(turns, "b", "a", kind="prepare")
    await settle()
    assert not first.entered.is_set()

    await stage.end()
    async with asyncio.timeout(5):
        await first.end()
        await second.end()


async def test_a_cancelled_waiter_leaves_no_trace(turns: Turns) -> None:
    first = Held(turns, "v", kind="publish", target="/a")
    await first.entered.wait()
    waiting = Held(turns, "v", kind="publish", target="/b")
    await settle()

    waiting.task.cancel()
    await asyncio.gather(waiting.task, return_exceptions=True)
    await first.end()

    async with turns.take("v", kind="stage"):
        pass


async def test_a_volume_whose_thread_hangs_is_worked_on_by_nobody_until_the_thread_is_back(turns: Turns) -> None:
    begun, hang, back = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        hang.wait(30)
        back.set()

    limit = 0.05
    while not begun.is_set():  # a thread that had no turn yet is no thread that hangs
        with pytest.raises(DriveFault):
            async with turns.take("v", kind="stage") as turn:
                await turn.run("drive", work, limit, "staging")
        limit *= 2
    with pytest.raises(Busy):
        async with turns.take("v", kind="unstage"):
            pass

    hang.set()
    await asyncio.to_thread(back.wait, 10)
    async with asyncio.timeout(10):
        while True:
            try:
                async with turns.take("v", kind="unstage"):
                    break
            except Busy:
                await asyncio.sleep(0.001)
