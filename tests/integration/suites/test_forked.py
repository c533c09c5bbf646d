"""The command line in a process forked from one that has imported it: as if it had been started, and sooner."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from integration.nodeagent.harness import wait_until
from support import forked
from support.ports import free_port

PROGRAM = "kubectl-directpv"
STARTED = Path(sys.executable).with_name(PROGRAM)
NOBODY = "nats://127.0.0.1:1"


@pytest.mark.parametrize("words", [("install", "-o", "yaml"), ("list", "nonsense"), ("install", "--kubeconfig=/none")])
def test_it_says_and_returns_what_the_program_does_when_it_is_started(words: tuple[str, ...]) -> None:
    started = subprocess.run([STARTED, *words], capture_output=True, text=True, timeout=50, check=False)

    done = forked.run(PROGRAM, *words, env=os.environ, within=50)

    assert (done.returncode, done.stdout, done.stderr) == (started.returncode, started.stdout, started.stderr)


async def test_each_run_has_its_own_environment_folder_and_output(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/file-one").write_text("[")
    (tmp_path / "other").mkdir()

    async def refused(name: str) -> str:
        env = {**os.environ, "KUBECONFIG": f"file-{name}"}
        done = await asyncio.to_thread(forked.run, PROGRAM, "install", env=env, within=50, cwd=tmp_path / name)
        assert done.returncode == 1
        return done.stderr

    one, other = await asyncio.gather(refused("one"), refused("other"))

    assert "file-one: while parsing" in " ".join(one.split())
    assert "there is no file file-other" in other


@pytest.mark.parametrize(("how", "code"), [("kill", -9), ("terminate", 0)])
def test_a_service_ends_as_it_is_told_and_says_how(tmp_path: Path, how: str, code: int) -> None:
    env = {**os.environ, "DIRECTPV_NATS_URL": NOBODY, "DIRECTPV_REGISTRY": str(tmp_path / "registry.db")}
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        service = forked.Forked("directpv-controller", f"--metrics-port={port}", env=env, stdout=log, stderr=log)
    wait_until(lambda: _answers(port), "it answers")
    assert service.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        service.wait(0.05)
    getattr(service, how)()
    assert (service.wait(50), service.poll()) == (code, code)
    service.kill()  # its number may be another's by now
    assert not Path(f"/proc/{service.pid}").exists()


def _answers(port: int) -> bool:
    with socket.socket() as asker:
        return asker.connect_ex(("127.0.0.1", port)) == 0


def test_what_takes_too_long_is_killed() -> None:
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        forked.run(PROGRAM, "list", "drives", "--nats-url", NOBODY, env=os.environ, within=0.2)
    assert time.monotonic() - began < 50


def test_what_forks_ends_with_the_process_that_it_serves() -> None:
    run = f"forked.run({PROGRAM!r}, '--version', env=os.environ, within=50)"
    env = {**os.environ, "PYTHONPATH": str(Path(forked.__file__).parents[1])}
    command = [sys.executable, "-c", f"import os; from support import forked; {run}"]
    subprocess.run(command, env=env, timeout=55, check=True)  # returns when what it has started has ended
