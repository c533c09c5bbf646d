"""``directpv up`` where a stack is already, and ``directpv down`` where there are volumes: no data goes unasked."""

import fcntl
import os
import pty
import secrets
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from directpv_cli.local.lifecycle import stop
from directpv_cli.local.machine import disks, processes
from directpv_cli.local.stack import Stack, address_of, load
from directpv_cli.reaching.local_stack import NATS_URL, STATE_DIR
from stack.running import BIN, SECONDS, traces

DATA = "what was written"
pytestmark = pytest.mark.timeout(240)


def run(environment: dict[str, str], program: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a program with nothing but ``environment`` to say which stack is meant, where nobody can be asked."""
    rest = {key: value for key, value in os.environ.items() if key not in (STATE_DIR, NATS_URL, "KUBECONFIG")}
    return subprocess.run(
        [BIN / program, *argv], env={**rest, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=SECONDS, check=False,
    )  # fmt: skip


class Made:
    """A stack with two devices, one of them a drive, and a volume with data on it, mounted."""

    def __init__(self, directory: Path, place: Path) -> None:
        self.directory, self.place = directory, place
        self.done("directpv", "up", "--drives", "2", "--nats-port", "0")
        assert "kubectl-directpv init" in self.done("directpv", "volume", "list"), "nothing can be made before"
        status = self.done("kubectl-directpv", "status")
        assert "no drive is initialised yet" in status
        assert "kubectl-directpv init" in self.run("directpv", "volume", "create", "mine").stderr
        self.yaml = str(place.parent / "drives.yaml")
        first = self.stack.nodes[0].devices[0]
        self.done("kubectl-directpv", "discover", "--drives", first, "--output-file", self.yaml)
        self.done("kubectl-directpv", "init", self.yaml, "--dangerous")
        self.done("directpv", "volume", "create", "mine")
        self.done("directpv", "volume", "mount", "mine", str(place))
        (place / "file").write_text(DATA)

    @property
    def stack(self) -> Stack:
        return load(self.directory)

    def run(self, program: str, *argv: str) -> subprocess.CompletedProcess[str]:
        return run({STATE_DIR: str(self.directory)}, program, *argv)

    def answer(self, typed: str, program: str, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a program on a terminal, at which somebody types."""
        mine, its = pty.openpty()
        try:
            os.write(mine, typed.encode())
            return subprocess.run(
                [BIN / program, *argv], env={**os.environ, STATE_DIR: str(self.directory)}, stdin=its,
                capture_output=True, text=True, timeout=SECONDS, check=False,
            )  # fmt: skip
        finally:
            os.close(mine)
            os.close(its)

    def done(self, program: str, *argv: str) -> str:
        ended = self.run(program, *argv)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    directory = Path(tempfile.gettempdir()) / f"dpv-{secrets.token_hex(4)}"
    try:
        yield Made(directory, tmp_path_factory.mktemp("places") / "place")
    finally:
        if directory.exists():
            stop.down(directory)


def test_what_was_killed_is_started_again_with_its_drives_and_volumes(made: Made) -> None:
    before = {process.name: process.pid for process in made.stack.running}
    killed = {"nats", "controller-1", "nodeagent-node-1"}
    for name in killed:
        processes.kill(made.stack.process(name))
    status = made.run("directpv", "status")
    assert (status.returncode, "`directpv up` starts again" in status.stderr) == (1, True), status.stderr
    for program, *words in (("directpv", "volume", "list"), ("kubectl-directpv", "list", "drives")):
        refused = made.run(program, *words)
        assert (refused.returncode, "`directpv up" in refused.stderr) == (1, True), refused.stderr

    said = made.done("directpv", "up")

    after = {process.name: process.pid for process in made.stack.running}
    assert {name for name in before if before[name] != after[name]} == killed
    assert "Started again: nats, controller-1, nodeagent-node-1" in said
    assert (made.place / "file").read_text() == DATA
    assert "Ready" in made.done("kubectl-directpv", "list", "drives")
    assert "mine" in made.done("directpv", "volume", "list")
    assert "runs already" in made.done("directpv", "up")
    assert {process.name: process.pid for process in made.stack.running} == after


def test_a_service_that_no_list_knows_is_ended_before_another_one_is_started(made: Made) -> None:
    stack = made.stack
    stray = stack.process("nodeagent-node-1")
    stack.running = [process for process in stack.running if process != stray]
    stack.save()  # as if `up` had been killed just after it started the agent

    assert "Started again: nodeagent-node-1" in made.done("directpv", "up")
    assert not stray.alive
    assert (made.place / "file").read_text() == DATA


def test_drives_whose_devices_are_gone_are_attached_again(made: Made) -> None:
    for process in made.stack.running:
        if not stop.is_udevd(process):
            processes.kill(process)
    disks.undo(made.directory)  # what a reboot leaves: files
    assert disks.attached(made.directory) == []
    held = made.run("directpv", "down")
    assert (held.returncode, "what is on 1 drive cannot be seen now" in held.stderr) == (1, True), held.stderr
    second = disks.images(made.directory)[1]
    second.rename(away := made.place.parent / "away")

    assert "1 drive of node-1 cannot be served: 1 of its files is away" in made.done("directpv", "up")
    away.rename(second)
    assert "cannot be served" not in made.done("directpv", "up")
    assert len(made.stack.nodes[0].devices) == 2
    made.done("directpv", "volume", "mount", "mine", str(made.place))
    assert (made.place / "file").read_text() == DATA


def test_a_port_that_another_server_took_meanwhile_is_told_and_nothing_is_taken_down(made: Made) -> None:
    processes.kill(made.stack.process("nats"))
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(address_of(made.stack.nats_url))
        other.listen()
        refused = made.run("directpv", "up")

    assert refused.returncode == 1
    assert f"another server listens on {made.stack.nats_url.removeprefix('nats://')}" in refused.stderr
    assert (made.place / "file").read_text() == DATA
    assert "Started again: nats" in made.done("directpv", "up")


def test_two_starts_at_once_do_not_meet(made: Made) -> None:
    descriptor = os.open(made.directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        refused = made.run("directpv", "up")
    finally:
        os.close(descriptor)

    assert (refused.returncode, "another `directpv up` is at work" in refused.stderr) == (1, True), refused.stderr
    made.done("directpv", "up")


def test_either_variable_is_enough_for_both_programs(made: Made) -> None:
    for environment in ({STATE_DIR: str(made.directory)}, {NATS_URL: made.stack.nats_url}):
        for program, *argv in (("directpv", "volume", "list"), ("kubectl-directpv", "list", "volumes")):
            listed = run(environment, program, *argv)
            assert (listed.returncode, "mine" in listed.stdout) == (0, True), listed.stderr


def test_up_says_what_is_to_be_exported_and_status_what_comes_next(made: Made, tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").touch()  # without the variable the plugin would go to a cluster
    up = run({"HOME": str(tmp_path)}, "directpv", "up", "--state-dir", str(made.directory))
    assert f"export {STATE_DIR}={made.directory}" in up.stderr
    said = made.run("directpv", "status").stderr
    assert "export" not in said
    assert "init" not in said, "its drives are initialised"


def test_what_only_a_cluster_has_is_refused_in_a_line_where_there_is_none(made: Made, tmp_path: Path) -> None:
    asked = run({STATE_DIR: str(made.directory), "HOME": str(tmp_path)}, "kubectl-directpv", "explain", "pvc", "data")

    assert asked.returncode == 1
    assert len(asked.stderr.splitlines()) == 1, asked.stderr
    assert "no kubeconfig leads to a cluster" in asked.stderr
    assert "explain volume NAME" in asked.stderr


def test_what_a_person_wrote_into_drives_yaml_is_kept_beside_what_discover_writes(made: Made, tmp_path: Path) -> None:
    file, (used, free) = tmp_path / "drives.yaml", made.stack.nodes[0].devices
    file.write_text("# mine")
    none = made.run("kubectl-directpv", "discover", "--drives", used, "--output-file", str(file))
    assert (none.returncode, "1 device in use as drives already" in none.stderr) == (1, True), none.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["drives.yaml"]
    assert file.read_text() == "# mine"

    said = made.done("kubectl-directpv", "discover", "--drives", free, "--output-file", str(file))
    former = tmp_path / "drives.yaml.old"
    assert str(former) in said
    assert former.read_text() == "# mine"
    again = made.done("kubectl-directpv", "discover", "--drives", free, "--output-file", str(file))
    assert "was another one" not in again
    assert former.read_text() == "# mine"


def test_down_names_the_volumes_that_go_and_needs_a_yes_if_they_hold_data(made: Made) -> None:
    refused = made.run("directpv", "down")
    assert refused.returncode == 1
    assert "1 drive, 1 volume with 4 KiB of data (mine)" in refused.stderr
    assert "--yes" in refused.stderr
    assert (made.place / "file").read_text() == DATA
    assert "runs already" in made.done("directpv", "up"), "nothing was ended"

    answered = made.answer("n\n", "directpv", "down")
    assert (answered.returncode, "nothing was done" in answered.stderr) == (1, True), answered.stderr
    assert "1 volume with 4 KiB of data (mine)" in answered.stderr
    assert (made.place / "file").read_text() == DATA

    assert "1 drive and 1 volume deleted" in made.done("directpv", "down", "--yes")
    assert traces(made.directory) == []
    assert not made.place.is_mount()
