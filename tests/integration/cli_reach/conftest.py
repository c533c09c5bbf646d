"""A kubectl on the PATH that stands in for the real one, a real nats-server behind it, and the plugin in front."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from directpv_cli.local.machine.processes import start_time, wait_until
from integration.cli_reach import stand_in
from support.nats import NatsServer, nats_server

PLUGIN = [sys.executable, "-m", "directpv_cli"]
WITHIN = 60.0


class Kubectl:
    """The stand-in, and what it noted."""

    def __init__(self, directory: Path, target: NatsServer) -> None:
        self.home = directory
        self.log = directory / "stand-in.log"
        self.log.touch()
        self.kubeconfig = directory / "cluster.yaml"
        self.kubeconfig.touch()
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.program = self.bin / "kubectl"
        self.program.write_text(f"#!{sys.executable}\n{Path(stand_in.__file__).read_text()}")
        self.program.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": str(self.bin),
            "HOME": str(directory),
            "KUBECONFIG": str(self.kubeconfig),
            "STAND_IN": "forward",
            "STAND_IN_LOG": str(self.log),
            "STAND_IN_TARGET": str(target.port),
        }
        self.environment.pop("DIRECTPV_NATS_URL", None)
        self._begun: list[subprocess.Popen[str]] = []

    def _notes(self, key: str) -> list[Any]:
        notes = map(json.loads, self.log.read_text().splitlines())
        return [note[key] for note in notes if key in note]

    @property
    def started(self) -> list[list[str]]:
        """Arguments of each start, but those to ask by which certificate NATS is known, once it was reached."""
        return [argv for argv in self._notes("argv") if "--ignore-not-found" not in argv]

    @property
    def pid(self) -> int:
        """Of the last that was started to forward."""
        notes = map(json.loads, self.log.read_text().splitlines())
        return int([note["pid"] for note in notes if "pid" in note and "--ignore-not-found" not in note["argv"]][-1])

    @property
    def is_gone(self) -> bool:
        return not any(map(start_time, self._notes("pid")))

    def run(self, *argv: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run a verb of the plugin to its end."""
        env = {**self.environment, **more}
        return subprocess.run([*PLUGIN, *argv], env=env, capture_output=True, text=True, timeout=60, check=False)

    def begin(self, *argv: str) -> "subprocess.Popen[str]":
        """Start a verb, and wait until it is connected, after it has made sure that a server is there."""
        pipe = subprocess.PIPE
        verb = subprocess.Popen([*PLUGIN, *argv], env=self.environment, stdout=pipe, stderr=pipe, text=True)
        self._begun.append(verb)
        assert wait_until(lambda: len(self._notes("connected")) > 1, WITHIN)
        return verb

    def end(self) -> None:
        """End what a test that failed has left."""
        for verb in self._begun:
            if verb.poll() is None:
                verb.kill()
                verb.communicate(timeout=WITHIN)
        for pid in self._notes("pid"):
            if start_time(pid) is not None:
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
def kubectl(tmp_path: Path, nats: NatsServer) -> Iterator[Kubectl]:
    kubectl = Kubectl(tmp_path, nats)
    try:
        yield kubectl
    finally:
        kubectl.end()
