"""Start, stop, drain."""

import asyncio
import os
import signal

import pytest

from directpv_common.process.lifecycle import InFlight, Stop, background, run, stop_on_signal


async def test_drain_waits_for_running_calls():
    calls = InFlight()
    with calls.call():
        assert not await calls.drain(0.01)
    assert await calls.drain(0.01)


def test_a_signal_ends_a_service_without_error():
    ended = []

    async def service() -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(stop_on_signal(signal.SIGUSR1))
                await asyncio.sleep(0)
                os.kill(os.getpid(), signal.SIGUSR1)
        finally:
            ended.append(True)

    run(service)
    assert ended == [True]


def test_a_fault_is_not_taken_for_a_stop():
    async def service() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(stop_on_signal(signal.SIGUSR1))
            raise KeyError("fault")

    with pytest.raises(ExceptionGroup):
        run(service)


async def test_background_work_that_fails_fails_the_block():
    async def broken() -> None:
        raise Stop("broken")

    with pytest.raises(ExceptionGroup):
        async with background(broken()):
            await asyncio.sleep(30)
