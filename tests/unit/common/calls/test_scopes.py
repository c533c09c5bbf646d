"""Timeouts and task groups, in the order in which services use them."""

import asyncio
import contextlib

import pytest

from directpv_common.calls.scopes import task_group, timeout


async def _fails() -> None:
    await asyncio.sleep(0.001)
    raise KeyError("fault")


async def test_a_timeout_after_a_group_that_failed_is_a_timeout() -> None:
    with pytest.raises(ExceptionGroup):
        async with task_group() as group:
            group.create_task(_fails())

    with pytest.raises(TimeoutError):
        async with timeout(0.001):
            await asyncio.sleep(60)


async def test_a_group_that_failed_leaves_the_task_uncancelled() -> None:
    task = asyncio.current_task()
    assert task is not None
    for _ in range(3):
        with pytest.raises(ExceptionGroup):
            async with task_group() as group:
                group.create_task(_fails())
        assert task.cancelling() == 0


async def test_what_closes_in_time_while_the_task_is_cancelled_is_told_that_the_time_is_over() -> None:
    told = []

    async def closing() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            try:
                async with timeout(0.001):
                    await asyncio.sleep(60)
            except TimeoutError:
                told.append("late")

    task = asyncio.create_task(closing())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["late"]


async def test_a_cancellation_that_comes_before_the_time_is_over_stays_one() -> None:
    async def waits() -> None:
        async with timeout(60):
            await asyncio.sleep(60)

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_within_another_is_the_one_that_ran_out() -> None:
    async with timeout(60):
        with pytest.raises(TimeoutError):
            async with timeout(0.001):
                await asyncio.sleep(60)
        await asyncio.sleep(0)


@pytest.mark.parametrize("block", [0, 60], ids=["block is over", "block runs"])
async def test_a_cancellation_that_comes_while_children_fail_ends_who_goes_on_after_the_failure(block: float) -> None:
    async def closes_badly() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            if not failures:
                raise KeyError("fault")

    failures = 0

    async def goes_on() -> None:
        nonlocal failures
        while True:
            try:
                async with task_group() as group:
                    group.create_task(closes_badly())
                    await asyncio.sleep(block)
            except* KeyError:
                failures += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(goes_on())
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=5)
    try:
        assert done
        assert (task.cancelled(), failures) == (True, 1)
    finally:
        task.cancel()


async def test_a_cancellation_that_comes_after_a_child_has_failed_is_kept_beside_the_groups_own() -> None:
    failed, closing = asyncio.Event(), asyncio.Event()

    async def fails() -> None:
        failed.set()
        raise KeyError("fault")

    async def closes_slowly() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await closing.wait()

    async def goes_on() -> None:
        with contextlib.suppress(ExceptionGroup):
            async with task_group() as group:
                group.create_task(closes_slowly())
                await asyncio.sleep(0)
                group.create_task(fails())
        await asyncio.sleep(60)

    task = asyncio.create_task(goes_on())
    await failed.wait()
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    closing.set()
    done, _ = await asyncio.wait({task}, timeout=5)
    task.cancel()
    assert done
    assert task.cancelled()
