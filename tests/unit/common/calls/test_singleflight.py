"""Repeats of running work join it."""

import asyncio

import pytest

from directpv_common.calls.context import call_context, remaining
from directpv_common.calls.singleflight import SingleFlight
from directpv_common.protocol.errors import Busy, DeadlineExceeded, NotFound


class Work:
    """Runs until told to end, and counts how often it began."""

    def __init__(self) -> None:
        self.begun = 0
        self.end = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        await self.end.wait()
        return self.begun


async def test_a_repeat_of_running_work_joins_it():
    flights, work = SingleFlight[int](), Work()
    calls = [asyncio.create_task(flights.run("v", "same", work)) for _ in range(3)]
    await asyncio.sleep(0)
    work.end.set()

    assert await asyncio.gather(*calls) == [1, 1, 1]


async def test_another_request_for_the_same_key_is_told_to_wait():
    flights, work = SingleFlight[int](), Work()
    running = asyncio.create_task(flights.run("v", "create", work))
    await asyncio.sleep(0)

    with pytest.raises(Busy, match="v"):
        await flights.run("v", "delete", work)
    work.end.set()
    await running


async def test_a_caller_that_goes_away_does_not_stop_the_work():
    flights, work = SingleFlight[int](), Work()
    caller = asyncio.create_task(flights.run("v", "same", work))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    joined = asyncio.create_task(flights.run("v", "same", work))
    await asyncio.sleep(0)
    work.end.set()

    assert await joined == 1


async def test_finished_work_is_done_anew():
    flights, work = SingleFlight[int](), Work()
    work.end.set()
    await flights.run("v", "same", work)

    assert await flights.run("v", "same", work) == 2


async def test_a_failure_reaches_every_caller_and_frees_the_key():
    flights: SingleFlight[int] = SingleFlight()

    async def fail() -> int:
        await asyncio.sleep(0)
        raise NotFound("gone")

    outcomes = await asyncio.gather(*(flights.run("v", 1, fail) for _ in range(2)), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [NotFound, NotFound]
    with pytest.raises(NotFound):
        await flights.run("v", 2, fail)


async def test_work_goes_on_when_the_deadline_of_the_call_that_began_it_has_passed():
    flights, work = SingleFlight[int](), Work()
    seen: list[float] = []

    async def noting() -> int:
        number = await work()
        seen.append(remaining(99.0))
        return number

    async def call(within: float) -> int:
        with call_context(within=within, traceparent=None):
            return await flights.run("v", "same", noting)

    hurried = asyncio.create_task(call(0.01))
    patient = asyncio.create_task(call(60))
    with pytest.raises(DeadlineExceeded, match="repeat to join"):
        await hurried
    work.end.set()

    assert await patient == 1
    assert seen == [99.0], "the work itself has no deadline"
