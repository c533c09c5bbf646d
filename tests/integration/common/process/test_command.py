"""External programs: bounded, and nothing left running."""

import asyncio
import contextlib
import os
import secrets
import time
from pathlib import Path

import pytest

from directpv_common.process.command import CommandFailed, output_of
from directpv_common.protocol.errors import DriveFault


def running_with(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            if mark in (entry / "cmdline").read_bytes().decode(errors="replace") and state not in "ZX":
                found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid()]


async def test_a_program_speaks_so_that_its_words_can_be_read_whatever_the_language_of_the_machine(monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")

    assert (await output_of("sh", "-c", "echo $LC_ALL", within=10)).strip() == "C"


async def test_the_output_of_a_program_comes_back():
    assert await output_of("cat", within=10, input=b"hello") == "hello"


async def test_a_failure_says_which_program_its_status_and_its_last_words():
    with pytest.raises(CommandFailed, match="sh ended with status 3: no such drive"):
        await output_of("sh", "-c", "echo no such drive >&2; exit 3", within=10)


async def test_a_program_that_does_not_exist_says_so():
    with pytest.raises(CommandFailed, match="cannot be started"):
        await output_of("no-such-program-anywhere", within=10)


async def test_a_program_that_hangs_is_killed_with_its_children():
    mark = f"mark-{secrets.token_hex(8)}"
    script = f"sleep 300 & : {mark}; sleep 300; : {mark}"

    with pytest.raises(DriveFault, match=r"did not end within 0.2 s"):
        await output_of("sh", "-c", script, mark, within=0.2)

    async with asyncio.timeout(10):
        while running_with(mark):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("turns", range(1, 6))
async def test_a_caller_that_goes_away_while_the_program_starts_leaves_nothing_running(turns: int, tmp_path: Path):
    mark, started = f"mark-{secrets.token_hex(8)}", tmp_path / "started"
    script = f"sh -c 'sleep 300; : {mark}' & : > {started}; wait; : {mark}"
    caller = asyncio.create_task(output_of("sh", "-c", script, within=60))
    for _ in range(turns):
        await asyncio.sleep(0)
    deadline = time.monotonic() + 10
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.01)  # the loop stands still: it learns nothing of the program before the caller goes away
    caller.cancel()

    async with asyncio.timeout(10):
        await asyncio.gather(caller, return_exceptions=True)
        while running_with(mark):
            await asyncio.sleep(0.02)


async def test_a_caller_that_goes_away_leaves_no_program_running():
    mark = f"mark-{secrets.token_hex(8)}"
    caller = asyncio.create_task(output_of("sh", "-c", f"sleep 300; : {mark}", mark, within=60))
    async with asyncio.timeout(10):
        while not running_with(mark):
            await asyncio.sleep(0.02)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)

    async with asyncio.timeout(10):
        while running_with(mark):
            await asyncio.sleep(0.02)
