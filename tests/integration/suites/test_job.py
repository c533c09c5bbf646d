"""A suite as a process: what it tells, and that it ends, whoever ends it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from directpv_cli.local.machine.processes import start_time, wait_until
from suites.job import Job

TESTS = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TESTS)}
WITHIN = 40.0
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "suites.progress", "-p", "no:cacheprovider")
SUITE = """
import pytest
def test_one(): pass
def test_two(): assert False, "words of a failure"
def test_three(): pytest.skip("not today")
@pytest.fixture
def broken():
    yield
    raise RuntimeError("in the clean-up")
def test_four(broken): pass
"""


def ended(job: Job) -> Job:
    def look() -> bool:
        job.look()
        return job.status is not None

    assert wait_until(look, WITHIN), job.log.read_text()
    return job


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    def make(*commands: tuple[str, ...], limit: float = WITHIN, **settings: float) -> Job:
        job = Job("name", commands, tmp_path / "name.log", limit, **settings)
        job.start(ENVIRONMENT)
        return job

    return make


def waits(job: Job, text: str) -> None:
    assert wait_until(lambda: text in job.log.read_text(), WITHIN)


def test_all_commands_run_though_the_first_fails_and_all_output_is_kept(job):
    done = ended(job(("sh", "-c", "echo one; exit 3"), ("sh", "-c", "echo two >&2")))

    assert done.status == 3
    assert done.log.read_text() == "one\ntwo\n"
    assert (done.results["failed"], done.results["passed"], done.tests) == (1, 1, 2)


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_tests_of_pytest_are_counted_and_those_that_failed_are_named(job, tmp_path, workers):
    (tmp_path / "test_some.py").write_text(SUITE)

    done = ended(job((*PYTEST, *workers, f"--rootdir={tmp_path}", str(tmp_path))))

    assert done.status == 1
    assert done.tests == 4
    assert done.results == {"passed": 1, "failed": 2, "skipped": 1}
    assert sorted(test.partition("::")[2] for test in done.failures) == ["test_four", "test_two"]
    assert "words of a failure" in done.log.read_text()
    assert done.cpu > 0


def test_a_job_that_takes_too_long_is_interrupted_and_has_failed(job):
    done = ended(job(("sh", "-c", "trap 'echo cleaned; exit 0' INT; while :; do sleep 0.1; done"), limit=1))

    assert done.late
    assert done.status != 0
    assert done.log.read_text().endswith("cleaned\n")


def test_no_command_begins_after_an_interrupt(job):
    begun = job(("sh", "-c", "trap 'exit 0' INT; echo one; while :; do sleep 0.1; done"), ("echo", "two"))
    waits(begun, "one")
    begun.interrupt()

    assert ended(begun).status == 1
    assert begun.log.read_text() == "one\n"


def test_a_job_that_heeds_no_interrupt_is_killed_with_its_children(job):
    begun = job(("sh", "-c", "trap '' INT; sleep 300 & echo $!; wait"), grace=1)
    waits(begun, "\n")
    begun.interrupt()

    assert ended(begun).status == -signal.SIGKILL
    child = int(begun.log.read_text())
    assert wait_until(lambda: start_time(child) is None, WITHIN)


def test_a_job_ends_with_the_process_that_runs_it(tmp_path):
    code = f"""
import pathlib, time
from suites.job import Job
job = Job("name", [("sh", "-c", "echo $$; exec sleep 300")], pathlib.Path({str(tmp_path / "name.log")!r}), 300)
job.start({{}})
time.sleep(300)
"""
    runner = subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT)
    log = tmp_path / "name.log"
    assert wait_until(lambda: log.exists() and log.read_text().endswith("\n"), WITHIN)
    runner.kill()
    runner.wait(WITHIN)

    assert wait_until(lambda: start_time(int(log.read_text())) is None, WITHIN)


def test_an_interrupt_while_a_job_starts_finds_it_started(tmp_path, monkeypatch):
    popen, interrupt = subprocess.Popen, signal.getsignal(signal.SIGTERM)

    def slow(*command, **options):
        process = popen(*command, **options)
        signal.raise_signal(signal.SIGTERM)  # before anybody knows the process
        return process

    def raises(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", slow)
    signal.signal(signal.SIGTERM, raises)
    started = Job("name", (("sleep", "300"),), tmp_path / "name.log", WITHIN)
    try:
        with pytest.raises(KeyboardInterrupt):
            started.start(ENVIRONMENT)
        started.interrupt()
        ended(started)
    finally:
        signal.signal(signal.SIGTERM, interrupt)
