"""What a program in the jail sees, may change, and holds."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from directpv_nodeagent.linux import jail


@pytest.fixture
def places(base: Path) -> dict[str, Path]:
    found = {name: base / name for name in ("root", "source", "target", "other")}
    for path in found.values():
        path.mkdir()
        (path / "file").write_text(path.name)
    (found["root"] / "file").unlink()
    (found["source"] / "link").symlink_to(found["other"])
    return found


def run(places: dict[str, Path], script: str) -> subprocess.CompletedProcess[str]:
    lock = places["target"].parent / "lock"
    argv = (str(places["root"]), str(lock), str(places["source"]), str(places["target"]), "sh", "-c", script)
    return subprocess.run(
        (sys.executable, "-m", jail.__name__, *argv), capture_output=True, text=True, timeout=60, check=False
    )


def test_it_sees_the_two_directories_and_the_systems_programs_and_nothing_else(places: dict[str, Path]) -> None:
    ended = run(places, "ls /; cat /source/file /target/file; ls /source/link/")

    names = set(ended.stdout.split())
    assert {"source", "target", "usr", "sourcetarget"} <= names
    assert names <= {"source", "target", "usr", "bin", "sbin", "lib", "lib32", "lib64", "sourcetarget"}
    assert "No such file" in ended.stderr


def test_it_cannot_change_the_source_nor_the_system(places: dict[str, Path]) -> None:
    ended = run(places, "echo new >/target/new; echo x >/source/file; touch /usr/x; rm /source/file")

    assert (places["target"] / "new").read_text() == "new\n"
    assert (places["source"] / "file").read_text() == "source"
    assert ended.stderr.count("Read-only file system") == 3
    assert not Path("/usr/x").exists()
    assert list(places["root"].iterdir()) == [], "what is mounted in there is seen by nobody else"


def test_who_comes_while_the_last_one_has_not_ended_is_refused(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = places["target"].parent / "lock"
    monkeypatch.setattr(jail, "LOCK_SECONDS", 0.1)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not jail.lock(str(lock))
    assert jail.lock(str(lock))


def test_a_program_that_is_missing_is_named(places: dict[str, Path]) -> None:
    lock = places["target"].parent / "lock"
    argv = (str(places["root"]), str(lock), str(places["source"]), str(places["target"]), "no-such-program")
    ended = subprocess.run(
        (sys.executable, "-m", jail.__name__, *argv), capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, "no-such-program cannot be started" in ended.stderr) == (jail.MISSING, True)
