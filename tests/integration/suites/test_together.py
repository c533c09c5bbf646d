"""How tests are shared among workers."""

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
SHARE = """
import pytest

@pytest.fixture(scope="module")
def shared():
    with open({log!r}, "a") as log:
        log.write(f"{{__name__}}\\n")

@pytest.mark.parametrize("number", range(8))
def test_that_uses_it(shared, number): pass
"""
SHARE_NOTHING = """
import os, pathlib, pytest
from directpv_cli.local.machine.processes import wait_until

@pytest.mark.parametrize("number", range(2))
def test_that_waits_for_the_other(number):
    pathlib.Path({meet!r}, str(number)).touch()
    assert wait_until(lambda: len(os.listdir({meet!r})) == 2, 40)
"""


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pytest", "-q", "-c", "pyproject.toml", f"--rootdir={folder}", "-p", "conftest"]
    return subprocess.run(
        [*command, "-p", "no:cacheprovider", *arguments, str(folder)], cwd=TOP, check=False, capture_output=True,
        text=True, env={**os.environ, "PYTHONPATH": str(TOP / "tests")}, timeout=55,
    )  # fmt: skip


def test_what_a_module_shares_is_set_up_once_however_many_workers_there_are(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for name in ("one", "two"):
        (tmp_path / f"test_{name}.py").write_text(SHARE.format(log=str(log)))

    done = run(tmp_path, "-n", "3", "--dist", "loadgroup")

    assert done.returncode == 0, done.stdout
    assert len(log.read_text().splitlines()) == 2, log.read_text()


def test_what_the_conftest_beside_modules_shares_is_set_up_once_per_module(tmp_path: Path) -> None:
    fixture, test = SHARE.format(log=str(tmp_path / "log")).split("@pytest.mark")
    (tmp_path / "conftest.py").write_text(fixture)
    (tmp_path / "test_one.py").write_text(f"import pytest\n@pytest.mark{test}")

    done = run(tmp_path, "-n", "3", "--dist", "loadgroup")

    assert done.returncode == 0, done.stdout
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_tests_of_a_module_that_shares_nothing_run_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "meet").mkdir()
    (tmp_path / "test_one.py").write_text(SHARE_NOTHING.format(meet=str(tmp_path / "meet")))

    done = run(tmp_path, "-n", "2", "--dist", "loadgroup")

    assert done.returncode == 0, done.stdout
