"""Drives come, go, break and move: real XFS on loop devices, found by FSUUID whatever the kernel calls them."""

import hashlib
import json
import os
import signal
import uuid
from pathlib import Path

import pytest

from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import FailedPrecondition, NotFound
from directpv_common.protocol.messages import (
    Empty,
    FormatDevice,
    FormatDevices,
)
from directpv_common.protocol.names import project_id
from directpv_nodeagent.layout.core.layout import meta_text
from directpv_nodeagent.linux import files, quota
from integration.nodeagent.faults import is_ready, shut_down
from integration.nodeagent.harness import AgentProcess, Loops, mounts_below, run, unmount, wait_until
from support.node_client import FENCE, MIB, Client, eventually


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mkfs(device: str, label: str = "DIRECTPV") -> str:
    fsuuid = str(uuid.uuid4())
    run("mkfs.xfs", "-q", "-m", f"uuid={fsuuid}", "-L", label, f"/dev/{device}")
    return fsuuid


class Foreign:
    """A file system that somebody else laid out; ``with`` mounts it on a path of the test."""

    def __init__(self, device: str, base: Path, label: str = "DIRECTPV") -> None:
        self.fsuuid = mkfs(device, label)
        self.device = device
        self.path = base / "elsewhere"

    def __enter__(self) -> Path:
        self.path.mkdir(exist_ok=True)
        run("mount", "-t", "xfs", f"/dev/{self.device}", str(self.path))
        return self.path

    def __exit__(self, *_: object) -> None:
        unmount(self.path)

    def lay_out(self, root: Path, **drive: object) -> None:
        """As upstream does; with ``drive`` also a record."""
        (root / f".FSUUID.{self.fsuuid}").symlink_to(".")
        (root / ".directpv").mkdir(mode=0o750)
        (root / ".directpv/meta.info").write_text(meta_text(self.fsuuid))
        if drive:
            record = {"fsuuid": self.fsuuid, "total": 1, "overhead": 0} | drive
            (root / ".directpv/drive.json").write_text(json.dumps(record))


class TestFormat:
    async def test_a_new_drive_is_laid_out_as_upstream_does_and_in_the_inventory_when_it_is_answered(
        self, agent: AgentProcess, device: str, client: Client
    ) -> None:
        (result,) = await client.format(device)

        assert result.drive is not None
        fsuuid = result.drive.fsuuid
        held = await client.held(fsuuid)
        assert is_ready(held)
        assert held.record == result.drive
        root = agent.root / "mnt" / fsuuid
        assert os.readlink(root / f".FSUUID.{fsuuid}") == "."
        assert (root / ".directpv").stat().st_mode & 0o7777 == 0o750
        assert (root / ".directpv/meta.info").stat().st_mode & 0o7777 == 0o640
        assert (root / ".directpv/meta.info").read_text() == meta_text(fsuuid)
        options = run("findmnt", "-no", "OPTIONS", str(root)).split(",")
        assert "noatime" in options
        total = int(run("findmnt", "-bno", "SIZE", str(root)))
        assert 0 < held.record.total - total <= held.record.overhead
        assert run("cat", f"/sys/fs/xfs/{device}/error/metadata/EIO/max_retries") == "0"

    async def test_results_come_in_the_order_asked_and_a_failure_is_its_devices_alone(
        self, agent: AgentProcess, loops: Loops, client: Client
    ) -> None:
        good, small, other = loops.make(), loops.make(400), loops.make()
        agent.start(good, small, other)

        results = await client.format(good, small, other)

        assert [result.name for result in results] == [good, small, other]
        assert [bool(result.error) for result in results] == [False, True, False]
        assert "small" in results[1].error.lower()
        assert len((await client.inventory()).drives) == 2

    async def test_the_same_request_again_finds_the_drive_that_it_made(self, device: str, client: Client) -> None:
        (found,) = (await client.ask(Node.DEVICE_LIST, Empty())).devices
        request = FormatDevices(devices=(FormatDevice(id=found.id, name=device),), fence=FENCE)

        replies = [await client.ask(Node.DEVICE_FORMAT, request) for _ in range(3)]

        assert len({reply.results[0].drive.fsuuid for reply in replies}) == 1
        (after,) = (await client.ask(Node.DEVICE_LIST, Empty())).devices
        assert "Used by DirectPV" in after.denied

    async def test_a_kernel_without_project_quota_is_refused_before_anything_is_written(
        self, agent: AgentProcess, loops: Loops, client: Client
    ) -> None:
        if Path("/proc/fs/xfs/xqmstat").exists():
            pytest.skip("this kernel has XFS project quota, so nothing is refused")
        device = loops.make()
        file = loops.attached[device]
        before = digest(file)
        agent.quota = "required"
        agent.start(device)

        (result,) = await client.format(device)

        assert result.drive is None
        assert "CONFIG_XFS_QUOTA" in result.error
        assert "--quota=best-effort" in result.error
        assert "CONFIG_XFS_QUOTA" in agent.log_text()
        assert digest(file) == before

    async def test_best_effort_is_visible(self, agent: AgentProcess, drive: str, client: Client) -> None:
        if Path("/proc/fs/xfs/xqmstat").exists():
            pytest.skip("this kernel has XFS project quota, so best effort enforces it")
        info = await client.ask(Node.NODE_GET, Empty())

        assert not info.quota_enforced
        assert "NOT limited" in agent.log_text()


async def test_an_existing_drive_on_a_kernel_without_quota_is_shown_with_the_reason(
    agent: AgentProcess, device: str, drive: str, client: Client
) -> None:
    if Path("/proc/fs/xfs/xqmstat").exists():
        pytest.skip("this kernel has XFS project quota, so nothing is refused")
    agent.kill(signal.SIGTERM)
    unmount(agent.root / "mnt" / drive)
    agent.quota = "required"
    agent.start(device)

    held = await client.drive_when(drive, lambda held: held.record.status == "Error", "refused")

    assert "--quota=best-effort" in held.record.conditions[0].message
    assert not held.readable
    assert mounts_below(agent.root / "mnt") == []


class TestRestart:
    async def test_a_killed_agent_leaves_mounts_and_finds_everything_again(
        self, agent: AgentProcess, device: str, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        await client.stage("pvc-1", pods / "s")
        await client.publish("pvc-1", pods / "s", pods / "t")
        with (pods / "t/file").open("w") as file:
            agent.kill(signal.SIGKILL)
            file.write("written while no agent ran")
        before = (agent.root / "mnt" / drive).stat().st_dev

        agent.start(device)

        held = await client.drive_when(drive, is_ready, "found again")
        assert held.volumes[0].use.staged == str(pods / "s")
        assert held.volumes[0].use.published == (str(pods / "t"),)
        assert (agent.root / "mnt" / drive).stat().st_dev == before
        assert len(mounts_below(agent.root / "mnt")) == 1
        await client.publish("pvc-1", pods / "s", pods / "t")
        assert (pods / "t/file").read_text() == "written while no agent ran"
        await client.unpublish("pvc-1", pods / "t")
        await client.unstage("pvc-1", pods / "s")

    async def test_a_stopped_agent_ends_well_and_keeps_mounts(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        assert agent.kill(signal.SIGTERM) == 0
        assert mounts_below(agent.root / "mnt" / drive) != []

    async def test_after_a_reboot_drives_are_mounted_before_there_is_a_bus_and_under_any_name(
        self, agent: AgentProcess, loops: Loops, device: str, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        agent.kill(signal.SIGKILL)
        unmount(agent.root / "mnt" / drive)
        renamed = loops.attach(loops.detach(device))
        there, agent.port = agent.port, 1

        agent.start(renamed)
        wait_until(lambda: mounts_below(agent.root / "mnt" / drive) != [], "mounted without a bus")
        agent.kill(signal.SIGKILL)
        agent.port = there
        agent.start(renamed)

        held = await client.drive_when(drive, is_ready, "found again")
        assert held.record.device == renamed
        await client.stage("pvc-1", pods / "s")

    async def test_two_runs_are_told_apart(self, agent: AgentProcess, device: str, drive: str, client: Client) -> None:
        first = (await client.inventory()).boot
        agent.kill(signal.SIGKILL)
        agent.start(device)

        assert (await client.inventory()).boot != first

    async def test_after_a_power_failure_a_record_that_is_whole_only_in_the_log_is_found(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        for number in range(40):
            await client.make_volume(drive, f"pvc-{number}", mib=1)
        agent.kill(signal.SIGKILL)
        root = agent.root / "mnt" / drive
        record = root / ".directpv/drive.json"
        whole = record.read_bytes()
        record.write_bytes(whole[:100])
        unmount(root)
        run("mount", "-t", "xfs", f"/dev/{device}", str(root))
        with files.opened(str(record.parent)) as directory:
            files.write_file(record.name, directory, whole)
        shut_down(root, flush_log=True)
        unmount(root)

        agent.start(device)

        held = await client.drive_when(drive, is_ready, "found again")
        assert len(held.volumes) == 40


class TestWhoseDrive:
    async def test_a_drive_of_upstream_is_adopted_with_its_volumes(
        self, agent: AgentProcess, loops: Loops, client: Client, base: Path, pods: Path
    ) -> None:
        device = loops.make()
        foreign = Foreign(device, base)
        with foreign as root:
            foreign.lay_out(root)
            (root / "pvc-old").mkdir()
            (root / "pvc-old/data").write_bytes(b"x" * 10 * MIB)
        agent.start(device)

        held = await client.drive_when(foreign.fsuuid, is_ready, "adopted")
        assert 0 < held.record.overhead < held.record.total // 5
        with pytest.raises(FailedPrecondition, match="size"):
            await client.stage("pvc-old", pods / "s")
        await client.stage("pvc-old", pods / "s", capacity=20 * MIB)

        assert len((pods / "s/data").read_bytes()) == 10 * MIB
        (volume,) = (await client.held(foreign.fsuuid)).volumes
        assert volume.record.capacity == 20 * MIB
        recorded = json.loads((agent.root / "mnt" / foreign.fsuuid / ".directpv/drive.json").read_text())
        assert recorded["node"] == "n1"
        descriptor = os.open(pods / "s/data", os.O_RDONLY)
        try:
            assert quota.attributes(descriptor).project == project_id("pvc-old")
        finally:
            os.close(descriptor)

    @pytest.mark.parametrize("case", ["another node", "no meta.info", "meta.info of another"])
    async def test_what_is_not_ours_is_left_exactly_as_it_was(
        self, agent: AgentProcess, loops: Loops, client: Client, base: Path, case: str
    ) -> None:
        device = loops.make()
        foreign = Foreign(device, base)
        with foreign as root:
            if case == "another node":
                foreign.lay_out(root, node="n2")
            elif case == "meta.info of another":
                foreign.lay_out(root)
                (root / ".directpv/meta.info").write_text(meta_text(str(uuid.uuid4())))
        os.sync()
        before = digest(loops.attached[device])
        agent.start(device)

        await eventually(lambda: _said(agent, "not a drive of this node"), "looked at")
        inventory = await client.inventory()

        assert inventory.drives == ()
        assert mounts_below(agent.root / "mnt") == []
        assert mounts_below(agent.root / "probe") == []
        os.sync()
        assert digest(loops.attached[device]) == before

    async def test_a_drive_whose_record_cannot_be_read_is_left_alone_and_told_of(
        self, agent: AgentProcess, loops: Loops, client: Client, base: Path
    ) -> None:
        device = loops.make()
        foreign = Foreign(device, base)
        with foreign as root:
            foreign.lay_out(root)
            (root / ".directpv/drive.json").write_text('{"node": 7')
        agent.start(device)

        await eventually(lambda: _said(agent, "drive.json"), "looked at")

        assert (await client.inventory()).drives == ()
        assert mounts_below(agent.root / "mnt") == []
        run("mount", "-t", "xfs", f"/dev/{device}", str(foreign.path))
        assert (foreign.path / ".directpv/drive.json").read_text() == '{"node": 7'

    async def test_other_file_systems_are_not_even_mounted(
        self, agent: AgentProcess, loops: Loops, client: Client, base: Path
    ) -> None:
        device = loops.make()
        foreign = Foreign(device, base, label="mydata")
        with foreign as root:
            foreign.lay_out(root)
        before = digest(loops.attached[device])
        agent.start(device)

        assert (await client.inventory()).drives == ()
        assert digest(loops.attached[device]) == before

    async def test_a_volume_that_the_order_to_make_never_reached_is_made_when_it_is_staged(
        self, drive: str, client: Client, pods: Path
    ) -> None:
        with pytest.raises(NotFound):
            await client.stage("pvc-new", pods / "s", fsuuid=drive)
        with pytest.raises(NotFound):
            await client.stage("pvc-new", pods / "s", capacity=MIB)

        await client.stage("pvc-new", pods / "s", fsuuid=drive, capacity=30 * MIB)

        (volume,) = (await client.held(drive)).volumes
        assert (volume.record.name, volume.record.capacity) == ("pvc-new", 30 * MIB)


async def _said(agent: AgentProcess, text: str) -> bool:
    return text in agent.log_text()


async def test_a_device_that_was_formatted_by_an_earlier_request_is_said_to_exist(device: str, client: Client) -> None:
    devices = (await client.ask(Node.DEVICE_LIST, Empty())).devices
    wanted = (FormatDevice(id=devices[0].id, name=device),)
    first, second = [
        (await client.ask(Node.DEVICE_FORMAT, FormatDevices(devices=wanted, fence=FENCE))).results[0] for _ in range(2)
    ]
    assert (first.existed, second.existed) == (False, True)
    assert first.drive is not None
    assert second.drive is not None
    assert first.drive.fsuuid == second.drive.fsuuid
