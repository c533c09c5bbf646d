"""The guests that the other tests stand on: how one that is dead is told from one that works hard."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.guest.pulse import Patience, TimerLost, answers
from support.guest.uml import BOOTS, Uml

IMPATIENT = Patience(ping=1, pause=0.1, spin=2, idle=3, limit=30)
SPIN = "while :; do :; done"
FREEZE = """
mount -t cgroup2 none /sys/fs/cgroup
mkdir /sys/fs/cgroup/hand
echo 1 > /sys/fs/cgroup/hand/cgroup.procs
( sleep 0.5; echo 1 > /sys/fs/cgroup/hand/cgroup.freeze ) </dev/null >/dev/null 2>&1 &
"""
"""The hand answers nothing from half a second later on; the rest of the guest goes on."""


@pytest.fixture
def guest(directory: Path) -> Iterator[Uml]:
    guest = Uml("g1", 150, directory, [])
    yield guest
    guest.close()


@pytest.mark.long
async def test_a_guest_whose_programs_take_all_that_its_processor_has_is_well(guest: Uml) -> None:
    await guest.start()
    for number in range(20):
        await guest.hand.start(f"busy{number}", "sh", "-c", SPIN)
    assert await guest.fault(Patience(ping=1, spin=0, idle=0, limit=0)) is None


async def test_a_guest_that_is_stopped_does_not_answer_and_has_not_lost_its_timer(guest: Uml) -> None:
    await guest.start()
    guest.signal(signal.SIGSTOP)
    fault = await guest.fault(IMPATIENT)
    assert not isinstance(fault, TimerLost)
    assert "the guest g1 does not answer" in str(fault)
    guest.signal(signal.SIGCONT)
    assert await guest.fault(IMPATIENT) is None


async def test_nothing_is_wrong_with_a_guest_whose_cable_is_pulled_or_that_has_no_power(guest: Uml) -> None:
    await guest.start()
    guest.port.cut()
    assert await guest.fault(IMPATIENT) is None
    guest.port.mend()
    guest.kill()
    assert await guest.fault(IMPATIENT) is None


async def frozen(guest: Uml) -> None:
    """Wait until the hand does not answer any more."""
    while await asyncio.to_thread(answers, guest.port.address, 2.0):
        await asyncio.sleep(0.1)


class Spins(Uml):
    """Spins from the beginning, as often as it is told to."""

    def __init__(self, directory: Path, times: int) -> None:
        super().__init__("g1", 150, directory, [])
        self.left, self.spinner = times, directory / "init"
        self.spinner.write_text(f"#!/bin/sh\n{SPIN}\n")
        self.spinner.chmod(0o755)

    def _command(self) -> list[str]:
        self.left -= 1
        command = super()._command()
        return [f"init={self.spinner}" if self.left >= 0 and each.startswith("init=") else each for each in command]


@pytest.mark.long
async def test_a_guest_that_loses_its_timer_while_it_boots_is_booted_again(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    guest = Spins(directory, times=1)
    try:
        await guest.start(Patience(ping=1, pause=0.1, spin=4, idle=60, limit=60))
        assert await guest.hand.run("echo", "well") == "well"
    finally:
        guest.close()
    assert "g1 lost its timer" in capsys.readouterr().out


@pytest.mark.long
async def test_a_guest_that_loses_its_timer_at_every_boot_is_given_up(directory: Path) -> None:
    guest = Spins(directory, times=BOOTS)
    try:
        with pytest.raises(AssertionError, match="g1 lost its timer: a fault of the testbed"):
            await guest.start(Patience(ping=0.2, pause=0.1, spin=1, idle=60, limit=60))
    finally:
        guest.close()
    assert guest.left == 0


# ---- in a run of its own ---------------------------------------------------------------------------------------------

CONFTEST = "from support.guest.report import pytest_runtest_makereport\n"
TESTS = """
import asyncio, os, sys
from pathlib import Path
from support.guest import network
from support.guest.uml import Uml
from vm.test_guests import FREEZE, SPIN, frozen

async def booted() -> Uml:
    network.enter()
    guest = Uml("g1", 1, Path(os.environ["GUESTS"]), [])
    await guest.start()
    print("group", guest.process_group, flush=True)
    return guest

async def test_fails() -> None:
    guest = await booted()
    await guest.hand.start("busy", "sh", "-c", SPIN)
    await guest.hand.sh(FREEZE)
    await frozen(guest)
    assert False, "what the test says itself"

async def test_stays() -> None:
    await booted()
    await asyncio.sleep(50)
"""


def run(directory: Path, test: str) -> "subprocess.Popen[str]":
    """Run one test of those above in a process of its own, whose output can be read."""
    (directory / "conftest.py").write_text(CONFTEST)
    (directory / "test_inner.py").write_text(textwrap.dedent(TESTS))
    top = Path(__file__).parents[2]
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "-c", top / "pyproject.toml"]
    return subprocess.Popen(
        [*command, f"--rootdir={top}", f"{directory}/test_inner.py::{test}"], text=True, stdout=subprocess.PIPE,
        env={**os.environ, "GUESTS": str(directory), "PYTHONPATH": str(top / "tests")},
    )  # fmt: skip


def group_of(process: "subprocess.Popen[str]") -> int:
    """Wait until the guest has booted; return its process group."""
    assert process.stdout is not None
    return next(int(line.split()[-1]) for line in process.stdout if "group " in line)


@pytest.mark.long
def test_a_test_whose_guest_burns_processor_time_and_answers_nothing_ends_with_the_reason_that_its_timer_is_lost(
    directory: Path,
) -> None:
    process = run(directory, "test_fails")
    said, _ = process.communicate(timeout=50)
    assert process.returncode == 1
    assert "TimerLost: the guest g1 lost its timer: a fault of the testbed" in said
    assert "what the test says itself" in said


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_guests_end_with_the_process_that_runs_the_tests(directory: Path, how: signal.Signals) -> None:
    process = run(directory, "test_stays")
    group = group_of(process)
    process.send_signal(how)
    process.communicate(timeout=30)
    assert subprocess.run(("timeout", "20", "sh", "-c", f"while kill -0 -{group} 2>/dev/null; do sleep 0.05; done"))
