"""Threads per drive: one that hangs costs its drive and nobody else."""

import asyncio
import subprocess
import sys
import threading
from functools import partial

import pytest

from directpv_common.protocol.errors import DriveFault
from directpv_nodeagent.linux.executor import DriveExecutors

LONG = 30.0
SHORT = 0.5


@pytest.fixture
def hang():
    """A function that blocks as a system call on a dead disk does; released at the end of the test."""
    released = threading.Event()
    yield released.wait
    released.set()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_it_returns_what_the_function_returns():
    assert await DriveExecutors().run("a", lambda: 42, LONG) == 42


async def test_it_raises_what_the_function_raises():
    with pytest.raises(ZeroDivisionError):
        await DriveExecutors().run("a", lambda: 1 / 0, LONG)


async def test_an_exception_that_no_future_takes_reaches_the_caller_as_another():
    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await DriveExecutors().run("a", partial(next, iter(())), LONG)


async def test_the_loop_goes_on_while_a_function_blocks():
    begun, end = threading.Event(), threading.Event()

    def work():
        begun.set()
        return end.wait(LONG)

    task = asyncio.create_task(DriveExecutors().run("a", work, LONG))
    await until(begun.is_set)
    end.set()
    assert await task


async def test_a_function_that_hangs_ends_in_an_error_that_names_drive_and_operation(hang):
    with pytest.raises(DriveFault, match=r"^nvme0n1: statfs did not end within 0.5 s"):
        await DriveExecutors().run("nvme0n1", hang, SHORT, "statfs")


async def test_the_operation_is_called_like_its_function_unless_told(hang):
    def sync_drive(wait):
        return wait()

    with pytest.raises(DriveFault, match="sync drive"):
        await DriveExecutors().run("a", partial(sync_drive, hang), SHORT)


async def test_other_drives_do_not_notice_one_that_hangs(hang):
    executors = DriveExecutors(width=2, stuck_limit=2)
    stuck = [asyncio.create_task(executors.run("bad", hang, LONG)) for _ in range(10)]
    assert await executors.run("good", lambda: "fine", LONG) == "fine"
    for task in stuck:
        task.cancel()


async def test_a_drive_with_one_hanging_operation_still_works(hang):
    executors = DriveExecutors(width=1, stuck_limit=2)
    with pytest.raises(DriveFault):
        await executors.run("a", hang, SHORT)
    assert await executors.run("a", lambda: "still here", LONG) == "still here"


async def test_work_that_waits_behind_an_operation_that_hangs_gets_a_thread_of_its_own(hang):
    executors = DriveExecutors(width=1, stuck_limit=2)
    stuck = asyncio.create_task(executors.run("a", hang, SHORT))
    waiting = asyncio.create_task(executors.run("a", lambda: "served", LONG))
    assert await waiting == "served"
    with pytest.raises(DriveFault):
        await stuck


async def test_a_drive_with_too_many_hanging_operations_is_refused_at_once_until_one_returns():
    executors = DriveExecutors(width=2, stuck_limit=2)
    released = [threading.Event(), threading.Event()]
    for event in released:
        with pytest.raises(DriveFault, match="did not end"):
            await executors.run("a", event.wait, SHORT)
    called = []
    with pytest.raises(DriveFault, match=r"^a: .*not tried: 2 earlier operations hang"):
        await executors.run("a", lambda: called.append(1), LONG)
    assert (executors.stuck, called) == ({"a": 2}, [])
    released[0].set()
    await until(lambda: executors.stuck == {"a": 1})
    assert await executors.run("a", lambda: "back", LONG) == "back"
    released[1].set()


async def test_work_that_was_queued_when_the_drive_got_stuck_is_refused_not_run(hang):
    executors = DriveExecutors(width=1, stuck_limit=1)
    called = []
    stuck = asyncio.create_task(executors.run("a", hang, SHORT))
    queued = asyncio.create_task(executors.run("a", lambda: called.append(1), LONG))
    results = await asyncio.gather(stuck, queued, return_exceptions=True)
    assert all(isinstance(result, DriveFault) for result in results)
    assert called == []


async def test_work_that_could_not_begin_in_time_never_runs():
    executors = DriveExecutors(width=1)
    begun, released, called = threading.Event(), threading.Event(), []

    def block():
        begun.set()
        released.wait(LONG)

    first = asyncio.create_task(executors.run("a", block, LONG))
    await until(begun.is_set)
    with pytest.raises(DriveFault, match="could not begin"):
        await executors.run("a", lambda: called.append(1), SHORT)
    released.set()
    await first
    assert await executors.run("a", lambda: called, LONG) == []


async def test_a_caller_that_is_cancelled_takes_back_work_that_has_not_begun():
    executors = DriveExecutors(width=1)
    begun, released, called = threading.Event(), threading.Event(), []

    def block():
        begun.set()
        released.wait(LONG)

    first = asyncio.create_task(executors.run("a", block, LONG))
    await until(begun.is_set)
    second = asyncio.create_task(executors.run("a", lambda: called.append(1), LONG))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    released.set()
    await first
    assert await executors.run("a", lambda: called, LONG) == []


async def test_an_operation_that_hangs_is_counted_even_if_its_caller_went_away(hang):
    executors = DriveExecutors()
    begun = threading.Event()

    def work():
        begun.set()
        return hang()

    task = asyncio.create_task(executors.run("a", work, 0.2))
    await until(begun.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: executors.stuck == {"a": 1})


async def test_width_bounds_what_runs_at_once_on_a_drive():
    executors = DriveExecutors(width=3)
    lock, running, most = threading.Lock(), [0], [0]
    together = threading.Barrier(3, timeout=LONG)

    def work():
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        together.wait()
        with lock:
            running[0] -= 1

    await asyncio.gather(*(executors.run("a", work, LONG) for _ in range(12)))
    assert most[0] == 3


def test_a_group_of_devices_waits_only_for_those_that_answer(hang):
    executors = DriveExecutors(stuck_limit=1)
    work = {"good": lambda: "read", "hung": hang, "broken": lambda: [][0]}
    found = executors.run_all(work, SHORT, "reading")
    assert found["good"] == "read"
    assert isinstance(found["broken"], IndexError)
    assert isinstance(found["hung"], DriveFault)
    again = executors.run_all({"hung": hang}, LONG, "reading")["hung"]
    assert "not tried" in str(again)


def test_python_ends_at_once_although_a_thread_hangs():
    program = """
import asyncio, threading
from directpv_nodeagent.linux.executor import DriveExecutors
async def main():
    try:
        await DriveExecutors().run("a", threading.Event().wait, 0.05)
    except Exception as error:
        print(error)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "did not end" in done.stdout
