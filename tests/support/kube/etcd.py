"""A real etcd, of one member."""

import contextlib
import json
import urllib.request
from pathlib import Path
from typing import Final

from support.kube.process import Program
from support.ports import free_port

READY_SECONDS: Final = 60.0


class Etcd:
    """Can be killed and started again with what it has stored."""

    def __init__(self, directory: Path, program: Path, *, durable: bool = False) -> None:
        """Describe a server that is not started yet.

        Args:
            directory: For its data and its log.
            program: Its binary.
            durable: Have what it acknowledged on the disk: only of interest where power fails.
        """
        self.url = f"http://127.0.0.1:{free_port()}"
        peer = f"http://127.0.0.1:{free_port()}"
        command = [
            program, "--name=test", f"--data-dir={directory / 'etcd'}", "--logger=zap", "--log-level=warn",
            f"--listen-client-urls={self.url}", f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=test={peer}",
            *(() if durable else ("--unsafe-no-fsync",)),
        ]  # fmt: skip
        self.process = Program("etcd", command, directory / "etcd.log")

    def start(self) -> None:
        """Start it, and wait until it serves."""
        self.process.start(self._healthy, READY_SECONDS)

    def _healthy(self) -> bool:
        with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(f"{self.url}/health", timeout=2) as reply:
            return bool(json.load(reply)["health"] == "true")
        return False

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
