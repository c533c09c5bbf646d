"""Calls that come at once are spread over turns of the loop."""

import asyncio
from collections import Counter

from directpv_controller.serving.pace import Pace


async def gone_by_turn(calls: int, at_once: int) -> tuple[list[int], list[int]]:
    """Return how many of so many calls went on in each turn in which any did, and their order."""
    pace, loop = Pace(at_once), asyncio.get_running_loop()
    turns: Counter[int] = Counter()
    order: list[int] = []
    turn = 0

    def next_turn() -> None:
        nonlocal turn
        turn += 1
        if len(order) < calls:
            loop.call_soon(next_turn)

    async def call(number: int) -> None:
        await pace.wait()
        turns[turn] += 1
        order.append(number)

    loop.call_soon(next_turn)
    async with asyncio.timeout(10):
        await asyncio.gather(*(call(number) for number in range(calls)))
    return list(turns.values()), order


async def test_no_turn_of_the_loop_has_more_calls_than_it_may() -> None:
    turns, order = await gone_by_turn(64, 16)
    assert turns == [16, 16, 16, 16]
    assert order == list(range(64)), "who came first goes on first"


async def test_few_calls_wait_for_nothing() -> None:
    assert (await gone_by_turn(16, 16))[0] == [16]


async def test_who_is_cancelled_while_it_waits_holds_up_nobody() -> None:
    pace = Pace(1)
    tasks = [asyncio.create_task(pace.wait()) for _ in range(5)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    tasks[3].cancel()
    async with asyncio.timeout(10):
        assert [type(each) for each in await asyncio.gather(*tasks, return_exceptions=True)].count(type(None)) == 3
        await pace.wait()
