"""Processes of a local stack: what counts as ended."""

import signal
import socket
import sys
from pathlib import Path

from directpv_cli.local import processes
from support.ports import free_port

ROUNDS = 40
"""Of a server with several threads, half lose their first thread before the last one gives the port back."""


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _can_be_taken(port: int) -> bool:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def test_a_server_that_was_killed_counts_as_ended_only_when_its_port_is_free(tmp_path: Path) -> None:
    server, port = Path(sys.executable).with_name("nats-server"), free_port()
    for _ in range(ROUNDS):
        process = processes.start(
            "nats", [str(server), "-a", "127.0.0.1", "-p", str(port)], env={}, log=tmp_path / "log"
        )
        try:
            assert processes.wait_until(lambda: _listens(port), 10)
        finally:
            processes.send(process, signal.SIGKILL)
        while process.alive:
            pass
        assert _can_be_taken(port)
        processes.kill(process)  # reaps it
