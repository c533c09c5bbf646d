"""Processes of a local stack: what counts as ended."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from directpv_cli.local.machine import processes
from directpv_cli.local.machine.processes import MARK
from support.ports import free_port

ROUNDS = 40
"""Of a server with several threads, half lose their first thread before the last one gives the port back."""

STARTS = 200
"""One look in 60 that comes at once finds a process in the middle of its ``execve``."""


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


def test_a_process_is_found_by_its_stack_from_the_moment_that_it_was_started(tmp_path: Path) -> None:
    for _ in range(STARTS):
        process = processes.start("sleep", ["/bin/sleep", "60"], env={MARK: str(tmp_path)}, log=tmp_path / "log")
        found = processes.marked(tmp_path)
        processes.kill(process)
        assert process.pid in [each.pid for each in found]


@pytest.mark.parametrize(
    "what",
    [
        "ends_with_the_last_stack",
        "is_kept_by_a_stack_that_is_down_but_not_removed",
        "is_let_be_by_the_next_stack_while_it_has_no_time",
    ],
)
def test_a_udevd_that_serves_all_stacks(what: str, tmp_path: Path) -> None:
    """Among processes of its own: of all that run on this machine, stacks of other tests are found, too."""
    alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    command = (*alone, sys.executable, Path(__file__).with_name("serving_all.py"), what, str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, timeout=140, check=False)

    assert done.returncode == 0, done.stderr
