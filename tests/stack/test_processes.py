"""Processes of a local stack: what counts as ended."""

import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from directpv_cli.local.lifecycle import stop
from directpv_cli.local.machine import processes
from directpv_cli.local.machine.processes import MARK, Process
from directpv_cli.local.stack import Options, Stack
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


class Running:
    """Stacks of which only the processes are real: programs that sleep under the names of services."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.started: list[Process] = []

    def stack(self, name: str, *programs: str) -> Stack:
        stack = Stack(options=Options(directory=str(self.base / name)))
        stack.directory.mkdir()
        for program in programs:
            binary = self.base / program
            if not binary.exists():
                shutil.copy("/bin/sleep", binary)
            log, env = stack.directory / "log", {MARK: str(stack.directory)}
            stack.running.append(processes.start(program, [str(binary), "600"], env=env, log=log))
        self.started += stack.running
        stack.save()
        return stack


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    for process in running.started:
        processes.kill(process)


def test_a_udevd_ends_with_the_last_stack_that_it_serves_whichever_started_it(running: Running) -> None:
    others = [process for some in processes.by_stack().values() for process in some]
    if others:
        pytest.skip(f"other stacks run on this machine, which need their udevd: {others}")
    first = running.stack("first", "systemd-udevd", "nodeagent")
    second = running.stack("second", "nodeagent")
    udevd, agent = first.running

    stop.down(first.directory)

    assert (udevd.alive, agent.alive, second.running[0].alive) == (True, False, True)
    stop.down(second.directory)
    assert not udevd.alive


def test_a_stack_that_is_down_but_not_removed_keeps_its_udevd(running: Running) -> None:
    first, second = running.stack("first", "systemd-udevd"), running.stack("second", "nodeagent")

    stop.down(second.directory)

    assert first.running[0].alive
