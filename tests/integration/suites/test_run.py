"""A run of several suites: what is told of it, and how it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from directpv_cli.local.machine.processes import start_time, wait_until
from suites.run import Run
from suites.show import Show
from suites.table import Step, Suite

TESTS = Path(__file__).resolve().parents[2]
WITHIN = 40.0


def shell(script: str) -> tuple[tuple[str, ...], ...]:
    return (("sh", "-c", script),)


def suite(name: str, script: str, *needs: str, cores: float = 1.0) -> Suite:
    return Suite(name, f"what {name} shows", shell(script), 1, 1, cores, needs, has_long=False)


@pytest.fixture
def go(tmp_path: Path) -> Callable[..., bool]:
    def run(*suites: Suite, steps: tuple[Step, ...] = (), cores: float = 2.0) -> bool:
        return Run(suites, steps, everything=False, show=Show(), cores=cores, folder=tmp_path / "suites").go()

    return run


def test_all_is_well_and_one_table_tells_it(go, capsys):
    assert go(suite("one", "true"), suite("two", "true"))

    said = capsys.readouterr().out
    assert "all passed" in said
    assert said.count("what one shows") == 2  # when it began, and in the table


def test_a_suite_that_fails_fails_the_run_but_no_other_suite_and_all_of_its_output_is_shown(go, capsys, tmp_path):
    assert not go(suite("bad", "seq 3000; exit 1"), suite("good", f"echo ran > {tmp_path}/good"), cores=1)

    said = capsys.readouterr().out
    assert (tmp_path / "good").exists()
    assert "\n".join(map(str, range(1, 3001))) in said
    assert said.index("bad: all of its output") < said.index("suite") < said.rindex("bad: see above")


def test_two_runs_at_once_keep_their_output_apart(go, tmp_path, monkeypatch):
    inner = "from suites.run import Run; from suites.show import Show; from suites.table import Suite; import pathlib; "
    inner += 's = Suite("one", "", (("echo", "inner"),), 1, 1, 1.0, (), has_long=False); '
    inner += f'Run((s,), (), everything=False, show=Show(), cores=1, folder=pathlib.Path("{tmp_path}/suites")).go()'
    command = (sys.executable, "-c", inner)
    outer = Suite("one", "", (("echo", "outer"), command, ("echo", "end")), 1, 1, 1.0, (), has_long=False)
    monkeypatch.setenv("PYTHONPATH", str(TESTS))

    assert go(outer)
    assert (tmp_path / "suites/one.log").read_text().startswith("outer\n")
    assert (tmp_path / "suites-2/one.log").read_text() == "inner\n"


def test_suites_run_beside_each_other_as_far_as_processors_allow(go, tmp_path):
    def meets(own: str, other: str) -> str:
        wait = f"for i in $(seq 200); do [ ! -e {tmp_path}/{other} ] || exit 0; sleep 0.1; done; exit 1"
        return f"touch {tmp_path}/{own}; {wait}"

    assert go(suite("one", meets("a", "b")), suite("two", meets("b", "a")))
    assert go(
        suite("one", f"test ! -e {tmp_path}/c && sleep 1; touch {tmp_path}/c"),
        suite("two", f"test -e {tmp_path}/c"),
        cores=1,
    )


def test_a_suite_begins_when_its_steps_have_ended(go, tmp_path):
    step = Step("build", "build it", shell(f"sleep 1; touch {tmp_path}/built"), 1)

    assert go(suite("needs it", f"test -e {tmp_path}/built", "build"), suite("needs none", "true"), steps=(step,))


def test_a_step_that_fails_fails_the_suites_that_need_it_and_no_others(go, capsys, tmp_path):
    step = Step("build", "build it", shell("echo cannot be built; exit 1"), 1)

    assert not go(suite("needs it", "true", "build"), suite("other", f"touch {tmp_path}/ran"), steps=(step,))
    said = capsys.readouterr().out
    assert "not run: build failed" in said
    assert "cannot be built" in said
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_everything_cleanly(tmp_path, which):
    code = f"""
import pathlib
from suites.run import Run, ended_by_signals
from suites.show import Show
from suites.table import Suite
script = "trap 'echo cleaned > {tmp_path}/cleaned; exit 1' INT; echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done"
waits = Suite("waits", "nothing", (("sh", "-c", script),), 1, 1, 1.0, (), has_long=False)
with ended_by_signals():
    Run((waits,), (), everything=False, show=Show(), cores=1, folder=pathlib.Path("{tmp_path}/suites")).go()
"""
    run = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(TESTS)}, stderr=subprocess.DEVNULL
    )
    pid = tmp_path / "pid"
    assert wait_until(lambda: pid.exists() and pid.read_text().endswith("\n"), WITHIN)
    run.send_signal(which)

    assert run.wait(WITHIN) != 0
    assert (tmp_path / "cleaned").read_text() == "cleaned\n"
    assert start_time(int(pid.read_text())) is None
