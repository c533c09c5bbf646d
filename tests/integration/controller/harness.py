"""Real parts: nats-server, the controller as a process of its own, and its registry file."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import directpv_common.protocol.messages as m
from directpv_common.protocol.wire import decode
from directpv_controller.core.placing.model import Snapshot
from directpv_controller.core.reserving.ledger import Ledger
from support import freezing
from support.forked import Forked
from support.nats import NatsServer
from support.pausing import pause
from support.ports import free_port

START_SECONDS = 60.0
LEASE_SECONDS = 1.0


async def until(condition: Callable[[], Any], what: str, within: float = START_SECONDS) -> Any:
    """Wait for ``condition`` to be true; it may be a coroutine function."""
    deadline = time.monotonic() + within
    while True:
        began = time.monotonic()
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what}")
        await asyncio.sleep(pause(time.monotonic() - began))


class Process:
    """A program of the test's own, ended for sure by :meth:`end`."""

    def __init__(self, program: str, log: Path, env: dict[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as output:
            self.popen = Forked(program, env={**os.environ, **(env or {})}, stdout=output, stderr=output)

    def send(self, which: signal.Signals) -> None:
        self.popen.send_signal(which)

    def freeze(self, registry: Path) -> None:
        freezing.freeze(self.popen.pid, registry)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(10)

    def end(self) -> int:
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGCONT)
            self.popen.terminate()
            try:
                self.popen.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.popen.returncode

    def said(self, text: str) -> bool:
        return text in self.log.read_text(errors="replace")


class Controller(Process):
    """``directpv-controller``."""

    def __init__(self, nats: NatsServer, directory: Path, name: str = "c1", **settings: object) -> None:
        self.port = free_port()
        values = {
            "nats_url": nats.url,
            "registry": directory / "registry.db",
            "lease_seconds": LEASE_SECONDS,
            "rebuild_seconds": 0.5,
            "online_seconds": 0,  # most tests have drives of nodes that nobody plays
            "metrics_port": self.port,
            **settings,
        }
        env = {f"DIRECTPV_{key.upper()}": str(value) for key, value in values.items()}
        super().__init__("directpv-controller", directory / f"{name}.log", env)

    async def metric(self, name: str) -> float | None:
        """Return the value of a metric without labels; None: it is not shown."""
        return await asyncio.to_thread(self._metric, name)

    def _metric(self, name: str) -> float | None:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as reply:
            lines = reply.read().decode().splitlines()
        return next((float(line.split()[1]) for line in lines if line.startswith(f"{name} ")), None)


def read_registry(path: Path) -> Snapshot:
    """Read the file as it is on disk, without the controller's code for it."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        drives = [decode(row[0], m.DriveRecord) for row in connection.execute("SELECT record FROM drives")]
        volumes = [decode(row[0], m.VolumeRecord) for row in connection.execute("SELECT record FROM volumes")]
    return Snapshot(drives, volumes)


def violations(path: Path) -> list[str]:
    """Return which invariants the registry on disk violates."""
    return Ledger.load(read_registry(path), lambda: 0.5).check()
