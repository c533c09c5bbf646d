"""A real nats-server on loopback, with a store of its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from support.ports import free_port

READY_SECONDS = 10


class NatsServer:
    """Can be killed and started again on the same port, with or without its store."""

    def __init__(
        self,
        store: Path,
        port: int = 0,
        host: str = "127.0.0.1",
        *,
        leafs: bool = False,
        settings: str = "",
        streams: bool = True,
    ) -> None:
        """Describe a server that is not started yet.

        Args:
            store: Of JetStream.
            port: 0: a free one.
            host: Address to listen on.
            leafs: Whether it takes in leaf servers, at ``leaf_url``.
            settings: More of its configuration.
            streams: Whether it has JetStream.
        """
        self.settings, self._streams = settings, streams
        self.store = store
        self.host = host
        self.port = port or free_port()
        self.url = f"nats://{host}:{self.port}"
        self.leaf_port = free_port() if leafs else 0
        self.leaf_url = f"nats-leaf://{host}:{self.leaf_port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = Path(sys.executable).with_name("nats-server")
        arguments = ["-a", self.host, "-p", str(self.port)]
        arguments += ["-js", "-sd", str(self.store)] if self._streams else []
        if self.leaf_port or self.settings:
            arguments += ["-c", str(self._configured())]
        self._process = subprocess.Popen([program, *arguments], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + READY_SECONDS
        while not self._listens():
            assert time.monotonic() < deadline, "nats-server did not start"
            assert self._process.poll() is None, "nats-server ended"
            time.sleep(0.01)

    def _configured(self) -> Path:
        leafs = f"leafnodes {{ host: {self.host}, port: {self.leaf_port} }}\n" if self.leaf_port else ""
        path = self.store.with_suffix(".conf")
        path.write_text(leafs + self.settings)
        return path

    def reload(self, settings: str) -> None:
        """Let it go on with other settings."""
        self.settings = settings
        self._configured()
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=1):
            return True
        return False

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(READY_SECONDS)
            self._process = None

    def freeze(self) -> None:
        """Stop it, and wait until none of its threads runs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def lose_store(self) -> None:
        """Delete everything that JetStream kept; only while it is not running."""
        shutil.rmtree(self.store)


@contextlib.contextmanager
def nats_server(
    store: Path,
    port: int = 0,
    host: str = "127.0.0.1",
    *,
    leafs: bool = False,
    settings: str = "",
    streams: bool = True,
) -> Iterator[NatsServer]:
    """Run a server while the block runs; port 0 takes a free one."""
    server = NatsServer(store, port, host, leafs=leafs, settings=settings, streams=streams)
    server.start()
    try:
        yield server
    finally:
        server.kill()
