"""What is no fault of a drive: its threads are busy, its disk is slow, the agent has run out of something."""

import asyncio
import contextlib
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from directpv_common.protocol.errors import DriveFault
from directpv_common.protocol.messages import VolumeRecord, VolumeUse
from directpv_common.protocol.names import FS_LABEL
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.probe import Prober
from directpv_nodeagent.drives.filesystem import xfs
from directpv_nodeagent.drives.taken import takeover
from directpv_nodeagent.drives.taken.drives import Drives
from directpv_nodeagent.drives.taken.inspection import Host
from directpv_nodeagent.drives.taken.renewal import Renewal
from directpv_nodeagent.drives.taken.turns import Turns
from directpv_nodeagent.drives.watching.evasion import EvasionWatch
from directpv_nodeagent.drives.watching.growth import Growth
from directpv_nodeagent.drives.watching.scanner import Scanner
from directpv_nodeagent.layout import volume_dirs
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.linux.executor import WIDTH, DriveExecutors
from integration.nodeagent.harness import AgentProcess, Loops, run
from support.node_client import Client, eventually


class Node:
    """The part of the agent that looks at drives, in this process."""

    def __init__(self, root: Path, device: str) -> None:
        self.executors = DriveExecutors()
        turns = Turns(self.executors)
        self.host = Host("n1", str(root), {}, quota_required=False)
        self.prober = Prober((device,))
        self.told: list[str] = []
        self.volumes_told: list[str] = []
        self.drives = Drives(self.host, self.prober, self.executors, Renewal(self.executors, turns), self._tell)
        self.scanner = Scanner(self.drives, Growth(self.drives, turns))

    def _tell(self, noun: str, kind: str, subject: str, **data: object) -> None:
        {"drive": self.told, "volume": self.volumes_told}.get(noun, []).append(kind)

    @property
    def drive(self) -> Drive:
        (drive,) = self.drives.by_id.values()
        return drive


@pytest.fixture
async def node(base: Path, loops: Loops) -> Node:
    """A node with one drive, which is well."""
    device = loops.make()
    run("mkfs.xfs", "-q", "-L", FS_LABEL, f"/dev/{device}")
    xfs.prepare_root(str(base / "root"))
    node = Node(base / "root", device)
    facts = node.prober.probe_one(device)
    assert facts is not None
    assert facts.superblock is not None
    takeover.lay_out(node.host, facts.superblock.fsuuid, facts)
    await node.scanner.scan()
    assert node.drive.record.status == "Ready"
    return node


async def test_a_drive_that_is_made_while_devices_are_read_is_not_looked_for_on_what_they_showed_before(
    base: Path, loops: Loops, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, loop = loops.make(), asyncio.get_running_loop()
    xfs.prepare_root(str(base / "root"))
    node = Node(base / "root", device)
    read = node.prober.probe

    async def make() -> None:
        run("mkfs.xfs", "-q", "-L", FS_LABEL, f"/dev/{device}")
        facts = node.prober.probe_one(device)
        assert facts is not None
        assert facts.superblock is not None
        takeover.lay_out(node.host, facts.superblock.fsuuid, facts)
        await node.drives.adopt(facts.superblock.fsuuid, facts)

    def slow(*arguments: Any, **options: Any) -> list[DeviceFacts]:
        found = read(*arguments, **options)
        asyncio.run_coroutine_threadsafe(make(), loop).result(60)
        return found

    monkeypatch.setattr(node.prober, "probe", slow)
    await node.scanner.scan()

    assert (node.drive.record.status, "error" in node.told) == ("Ready", False)


async def test_a_drive_whose_threads_all_work_for_long_is_looked_at_all_the_same(node: Node) -> None:
    done = threading.Event()
    fsuuid = node.drive.fsuuid
    works = [asyncio.create_task(node.executors.run(fsuuid, done.wait, 60.0, "tagging")) for _ in range(WIDTH)]
    try:
        await asyncio.sleep(0)
        await asyncio.wait_for(node.scanner.settle(fsuuid), 10)
        assert node.drive.record.status == "Ready"
        assert not node.scanner._looks, "the look has ended, and did not wait for them"
    finally:
        done.set()
        await asyncio.gather(*works)


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """Let this process open no more files than it has open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))
    try:
        held = []
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in held:
            os.close(descriptor)


async def test_a_drive_is_well_while_its_agent_can_open_no_more_files(node: Node) -> None:
    told = list(node.told)
    with no_more_files():
        await node.scanner.scan()
        assert node.drives.trouble, "it is told, of the node"
        with pytest.raises(OSError, match="Too many open files"):
            node.prober.probe(1.0)  # which is not: there are no devices
    assert (node.drive.record.status, node.told) == ("Ready", told)

    await node.scanner.scan()
    assert not node.drives.trouble
    assert (node.drive.record.status, node.told) == ("Ready", told)


async def test_what_is_late_is_waited_for_as_long_as_its_device_gets_something_done() -> None:
    executors, counted, done = DriveExecutors(), iter(range(1000)), threading.Event()
    begun = time.monotonic()

    def progress() -> int:
        count = next(counted)
        if count == 3:
            done.set()
        return count

    assert await executors.run("d", lambda: done.wait(30), 1.0, progress=progress)
    assert executors.stuck == {}
    assert time.monotonic() - begun >= 2.0

    done.clear()
    with pytest.raises(DriveFault, match="did not end"):
        await executors.run("d", lambda: done.wait(30), 1.0, progress=lambda: "nothing")
    with pytest.raises(DriveFault, match="did not end"):
        await executors.run("d", lambda: done.wait(30), 1.0, progress=lambda: next(counted), at_most=2.0)
    done.set()


async def test_an_agent_works_while_a_dead_twin_of_it_keeps_its_ports(
    agent: AgentProcess, loops: Loops, client: Client
) -> None:
    with socket.socket() as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        twin.bind(("127.0.0.1", agent.metrics_port))
        twin.listen()
        agent.start(loops.make())
        await agent.answers(client)

        async def told() -> bool:
            return "no metrics and probes yet" in agent.log_text()

        await eventually(told, "it says what it cannot serve")

    async def served() -> bool:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", agent.readiness_port)
            writer.close()
            return True
        return False

    await eventually(served, "probes are answered")


async def test_files_that_were_given_another_project_are_told_once_and_again_after_they_were_put_right(
    node: Node,
) -> None:
    drive, watch = node.drive, EvasionWatch(node.drives)
    record = VolumeRecord(name="pvc-1", fsuuid=drive.fsuuid, capacity=20 << 20)
    project = volume_dirs.prepare(drive.view, [record], {}, frozenset())["pvc-1"]
    assert isinstance(project, int)
    drive.put(record, project)
    drive.set_use("pvc-1", VolumeUse(staged="/s", published=("/t",)))
    path = Path(drive.view.path) / "pvc-1"
    (path / "file").write_text("x")
    await watch.look()
    assert node.volumes_told == []

    for _ in range(2):
        run("xfs_io", "-c", "chproj 1", str(path / "file"))
        await watch.look()
        await watch.look()
        run("xfs_io", "-c", f"chproj {project}", str(path / "file"))
        await watch.look()
    assert node.volumes_told == ["quota-evaded", "quota-evaded"]

    run("xfs_io", "-c", "chproj 1", str(path))
    await watch.look()
    assert len(node.volumes_told) == 3
