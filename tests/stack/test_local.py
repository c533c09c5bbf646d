"""``directpv up | down | status | demo``: what they start, and that nothing of it is left."""

import json
import re
import secrets
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from directpv_cli.local.lifecycle import start
from directpv_cli.local.machine import disks, processes
from directpv_cli.local.stack import Options, StackError
from stack.running import BIN, PLUGIN, run, traces
from support.nats import nats_server

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.gettempdir()) / f"dpv-{secrets.token_hex(4)}"
    yield path
    if path.exists():
        run("directpv", "down", "--yes", "--state-dir", str(path))


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory for temporary files of programs that a test starts: what appears there is theirs."""
    with tempfile.TemporaryDirectory(prefix="dpv-") as path:
        monkeypatch.setenv("TMPDIR", path)
        yield Path(path)


def left_in(temporary: Path) -> list[str]:
    return [*map(str, temporary.iterdir()), *disks.attached(temporary), *disks.mounts_of(temporary, [])]


def test_the_demo_does_the_main_job_and_leaves_nothing_behind(temporary):
    demo = run("directpv", "demo")

    assert demo.returncode == 0, demo.stdout + demo.stderr
    for step in ("CreateVolume", "NodeStageVolume", "NodeExpandVolume", "DeleteVolume", "remove everything"):
        assert step in demo.stdout
    assert left_in(temporary) == []


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_interrupted_leaves_nothing_behind(temporary, which):
    demo = subprocess.Popen([BIN / "directpv", "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert processes.wait_until(lambda: bool(disks.attached(temporary)), 60)
    demo.send_signal(which)
    _, said = demo.communicate(timeout=120)

    assert demo.returncode == 1, said
    assert left_in(temporary) == []


def test_a_demo_that_is_kept_says_how_to_find_it_and_how_to_end_it(temporary):
    demo = run("directpv", "demo", "--keep")

    try:
        assert demo.returncode == 0, demo.stdout + demo.stderr
        (directory,) = temporary.iterdir()
        assert f"directpv down --state-dir {directory}" in demo.stderr
        url = re.search(r"DIRECTPV_NATS_URL=(\S+);", demo.stderr)
        assert url is not None
        assert run("directpv", "status", "--state-dir", str(directory)).returncode == 0
        assert run("kubectl-directpv", "list", "drives", url=url[1]).stdout.count("Ready") == 4
    finally:
        for left in temporary.iterdir():
            run("directpv", "down", "--yes", "--state-dir", str(left))
    assert left_in(temporary) == []


def test_a_stack_is_not_started_on_the_port_of_another_server(directory, tmp_path):
    with nats_server(tmp_path / "nats") as server:
        port = server.url.rpartition(":")[2]
        up = run("directpv", "up", "--nats-port", port, "--state-dir", str(directory))
        told = socket.create_connection(("127.0.0.1", int(port)), 5)
        told.close()

    assert up.returncode == 1
    assert f"another server listens on 127.0.0.1:{port}" in up.stderr
    assert traces(directory) == []


def test_a_server_that_took_the_port_meanwhile_is_not_taken_for_the_stacks_own(directory, tmp_path, monkeypatch):
    with nats_server(tmp_path / "nats") as server:
        monkeypatch.setattr(start, "is_free", lambda _: True)  # it was, a moment ago
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(StackError, match="nats did not start"):
            start.up(Options(directory=str(directory), drives=0, nats_port=port))

    assert traces(directory) == []


def test_down_names_who_holds_what_and_can_be_repeated(directory):
    assert run("directpv", "up", "--drives", "1", "--nats-port", "0", "--state-dir", str(directory)).returncode == 0
    url = json.loads((directory / "stack.json").read_text())["nats_url"]
    root, verb = directory / "nodes/node-1/root/mnt", f"cd {directory} && {PLUGIN}"
    made = run("/bin/sh", "-c", f"{verb} discover && {PLUGIN} init drives.yaml --dangerous", url=url)
    assert made.returncode == 0, made.stderr
    (drive,) = root.iterdir()
    with subprocess.Popen(["sleep", "600"], cwd=drive) as holder:
        try:
            refused = run("directpv", "down", "--state-dir", str(directory))
        finally:
            holder.kill()

    assert refused.returncode == 1
    assert f"held by {holder.pid} (sleep)" in refused.stderr
    assert run("directpv", "down", "--state-dir", str(directory)).returncode == 0
    assert traces(directory) == []


def test_a_bus_that_is_not_there_is_an_error_that_names_it():
    listed = run("kubectl-directpv", "list", "drives", url="nats://127.0.0.1:1")

    assert listed.returncode == 1
    assert "nats://127.0.0.1:1" in listed.stderr


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["--size", "100MiB"], "512 MiB"),
        (["--size", "big"], "not a size"),
        (["--nodes", "0"], "--nodes"),
    ],
)
def test_options_that_cannot_work_are_refused_and_nothing_is_left(argv, named, directory):
    up = run("directpv", "up", "--state-dir", str(directory), "--nats-port", "0", *argv)

    assert up.returncode == 1
    assert named in up.stderr
    assert traces(directory) == []


def test_down_removes_a_stack_whose_start_was_killed(directory):
    up = subprocess.Popen(
        [BIN / "directpv", "up", "--state-dir", str(directory), "--nats-port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert processes.wait_until(lambda: len(disks.attached(directory)) >= 2, 60)
    up.kill()
    up.wait(10)

    down = run("directpv", "down", "--state-dir", str(directory))

    assert down.returncode == 0, down.stderr
    assert traces(directory) == []


def test_down_without_a_stack_says_so(directory):
    down = run("directpv", "down", "--state-dir", str(directory))

    assert down.returncode == 1
    assert "no stack" in down.stderr
