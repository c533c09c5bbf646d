"""A test run that is ended from outside leaves nothing of its stacks behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from directpv_cli.local.machine import disks
from support.node_client import eventually

TOP = Path(__file__).resolve().parents[2]
WAITS = """
import time
from support.cluster import cluster


def test_that_waits():
    with cluster(nodes=1, drives=1) as running:
        with open({told!r}, "w") as file:
            file.write(f"{{running.stack.directory}} {{running.stack.nodes[0].devices[0]}}")
        time.sleep(120)
"""

pytestmark = pytest.mark.timeout(240)

ALONE, WORKER = (), ("-n", "1")
WAYS = [
    pytest.param(
        workers, how, id=f"{'worker' if workers else 'alone'}-{how.name}",
        marks=() if (workers, how) in ((ALONE, signal.SIGINT), (WORKER, signal.SIGTERM)) else pytest.mark.long,
    )
    for workers in (ALONE, WORKER) for how in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
]  # fmt: skip
"""Alone or by a worker, and how it is ended; the others go the same way: all three are made one in tests/conftest."""


@pytest.mark.parametrize(("workers", "how"), WAYS)
async def test_a_stack_goes_with_the_test_run_that_is_ended(
    tmp_path: Path, how: signal.Signals, workers: tuple[str, ...]
) -> None:
    told = tmp_path / "told"
    (tmp_path / "test_waits.py").write_text(WAITS.format(told=str(told)))
    command = [sys.executable, "-m", "pytest", "-q", "-c", "pyproject.toml", f"--rootdir={TOP}", "-p", "conftest"]
    process = subprocess.Popen(
        [*command, *workers, str(tmp_path / "test_waits.py")],
        cwd=TOP, env={**os.environ, "PYTHONPATH": str(TOP / "tests")}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:

        async def up() -> bool:
            assert process.poll() is None, "it ended before its stack was up"
            return told.exists() and len(told.read_text().split()) == 2

        await eventually(up, "the stack is up", 120)
        directory, device = told.read_text().split()
        assert device in disks.attached(Path(directory))

        process.send_signal(how)

        async def gone() -> bool:
            return process.poll() is not None and not Path(directory).exists()

        await eventually(gone, "run and stack have ended")
        assert disks.attached(Path(directory)) == []  # the device itself may be another stack's by now
    finally:
        process.kill()
        process.wait()
