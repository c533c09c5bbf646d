"""Repair: real xfs_repair on real damage, and what happens to the drive whatever becomes of it."""

import asyncio
import os
import shutil
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from directpv_common.api import Node
from directpv_common.bus import Bus
from directpv_common.errors import Busy, DirectPVError, FailedPrecondition, Fenced, NotFound
from directpv_common.events import CloudEvent
from directpv_common.messages import (
    DriveId,
    DriveStatus,
    Empty,
    Fence,
    OrderRepair,
    RemoveVolume,
    RepairStatus,
    VolumeRecord,
)
from directpv_common.wire import decode
from integration.nodeagent_volumes.harness import AgentProcess, Loops, mounts_below, run, unmount, wait_until
from integration.nodeagent_volumes.test_drives import shut_down
from support.node_client import FENCE, MIB, Client, eventually

BLOCK, SECTOR = 4096, 512


def request(fsuuid: str, **flags: Any) -> OrderRepair:
    return OrderRepair(**{"fsuuid": fsuuid, "id": uuid.uuid4().hex, "fence": FENCE} | flags)


async def begin(client: Client, fsuuid: str, **flags: Any) -> RepairStatus:
    return await client.ask(Node.DRIVE_REPAIR, request(fsuuid, **flags))  # type: ignore[no-any-return]


async def status_of(client: Client, fsuuid: str) -> RepairStatus:
    return await client.ask(Node.DRIVE_REPAIR_STATUS, DriveId(fsuuid=fsuuid))  # type: ignore[no-any-return]


async def ended(client: Client, fsuuid: str) -> RepairStatus:
    async def check() -> RepairStatus | None:
        status = await status_of(client, fsuuid)
        return None if status.outcome == "Running" else status

    return await eventually(check, "the repair has ended")  # type: ignore[no-any-return]


async def repaired(client: Client, fsuuid: str, **flags: Any) -> RepairStatus:
    assert (await begin(client, fsuuid, **flags)).outcome == "Running"
    return await ended(client, fsuuid)


async def told(bus: Bus) -> list[CloudEvent]:
    found: list[CloudEvent] = []
    await bus.subscribe(bus.subjects.all_events, lambda message: found.append(decode(message.data, CloudEvent)))
    await bus.client.flush()
    return found


def kinds(events: list[CloudEvent]) -> list[str]:
    return [event.type.rpartition(".drive.")[2] for event in events if ".drive." in event.type]


def write(device: str, offset: int, data: bytes) -> None:
    descriptor = os.open(f"/dev/{device}", os.O_WRONLY)
    try:
        os.pwrite(descriptor, data, offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(device: str, offset: int) -> bytes:
    with open(f"/dev/{device}", "rb") as disk:
        return os.pread(disk.fileno(), 512, offset)


def geometry(device: str) -> dict[str, int]:
    said = run("xfs_db", "-r", "-c", "sb 0", "-c", "print agblocks rootino agblklog inopblog", f"/dev/{device}")
    return {key: int(value) for key, value in (line.split(" = ") for line in said.splitlines())}


def damage_root(device: str) -> None:
    """Overwrite the root directory's inode: the file system mounts no more."""
    found = geometry(device)
    write(device, found["rootino"] * BLOCK // (1 << found["inopblog"]), b"\xa5" * 512)


def damage_unseen(device: str) -> None:
    """Overwrite the free space header of the last AG, which a mount reads and refuses too."""
    write(device, 3 * geometry(device)["agblocks"] * BLOCK + SECTOR, b"\xa5" * SECTOR)


def unmounted(agent: AgentProcess, fsuuid: str) -> None:
    unmount(agent.root / "mnt" / fsuuid)


async def has_status(client: Client, fsuuid: str, status: DriveStatus) -> None:
    await client.drive_when(fsuuid, lambda held: held.record.status is status, f"drive is {status}")


async def break_drive(agent: AgentProcess, loops: Loops, client: Client, fsuuid: str) -> str:
    """Damage the drive so that it cannot be mounted any more, while the agent is stopped in its tracks."""
    (device,) = loops.attached
    assert agent.process is not None
    agent.process.send_signal(signal.SIGSTOP)
    unmounted(agent, fsuuid)
    damage_root(device)
    agent.process.send_signal(signal.SIGCONT)
    await has_status(client, fsuuid, DriveStatus.ERROR)
    return device


@pytest.fixture
def gate(base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """xfs_repair waits for this file before it begins; its process id is beside it."""
    (base / "bin").mkdir()
    gate = base / "gate"
    program = base / "bin/xfs_repair"
    real = shutil.which("xfs_repair")
    program.write_text(
        f'#!/bin/sh\necho $$ > {gate}.pid\nwhile [ ! -e {gate} ]; do sleep 0.05; done\nexec {real} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{base}/bin:{os.environ['PATH']}")
    return gate


async def waiting(gate: Path) -> int:
    path = Path(f"{gate}.pid")

    async def check() -> int:
        return int(path.read_text().strip() or 0) if path.exists() else 0

    return await eventually(check, "xfs_repair runs")  # type: ignore[no-any-return]


class TestRepair:
    async def test_a_drive_that_is_well_is_found_clean_and_mounted_again_with_all_that_is_on_it(
        self, agent: AgentProcess, drive: str, client: Client, pods: Path
    ) -> None:
        events = await told(client.bus)
        await client.make_volume(drive, "pvc-1")
        before = await client.held(drive)

        outcome = await repaired(client, drive)

        assert (outcome.outcome, outcome.exit_status, outcome.status) == ("Clean", 0, "Ready")
        assert "done" in outcome.output
        held = await client.held(drive)
        assert held.record == before.record
        assert [volume.record.name for volume in held.volumes] == ["pvc-1"]
        await client.stage("pvc-1", pods / "s")
        wanted = ["repairing", "repair-ended", "ready", "repaired"]
        await eventually(lambda: _equal(kinds(events)[-4:], wanted), "told")
        (last,) = [event for event in events if event.type.endswith(".repaired")]
        assert (last.data["exit_status"], last.data["status"]) == (0, "Ready")

    async def test_damage_is_found_by_a_dry_run_which_repairs_nothing_and_a_lost_root_is_told_with_where_the_data_is(
        self, agent: AgentProcess, loops: Loops, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        (agent.root / "mnt" / drive / "pvc-1/file").write_bytes(b"precious" * 1000)
        device = await break_drive(agent, loops, client, drive)
        at = geometry(device)["rootino"] * BLOCK // (1 << geometry(device)["inopblog"])

        dry = await repaired(client, drive, dry_run=True)

        assert (dry.outcome, dry.exit_status, dry.status) == ("Damaged", 1, "Error")
        assert "repair" in dry.message
        assert read(device, at) == b"\xa5" * 512
        wet = await repaired(client, drive)
        assert (wet.outcome, wet.exit_status, wet.status) == ("Failed", 4, "Error")
        assert "lost+found" in wet.message
        assert "cleared root inode" in wet.output

    async def test_damage_that_leaves_the_root_directory_is_repaired_and_the_drive_is_ready_with_its_data(
        self, agent: AgentProcess, loops: Loops, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        root = agent.root / "mnt" / drive
        (root / "pvc-1/file").write_bytes(b"precious" * 1000)
        (device,) = loops.attached
        assert agent.process is not None
        agent.process.send_signal(signal.SIGSTOP)
        unmounted(agent, drive)
        damage_unseen(device)
        agent.process.send_signal(signal.SIGCONT)
        await has_status(client, drive, DriveStatus.ERROR)

        outcome = await repaired(client, drive)

        assert (outcome.outcome, outcome.exit_status, outcome.status) == ("Repaired", 4, "Ready"), outcome
        assert (root / "pvc-1/file").read_bytes() == b"precious" * 1000

    async def test_a_damaged_first_super_block_is_repaired_from_its_backups(
        self, agent: AgentProcess, loops: Loops, drive: str, client: Client
    ) -> None:
        (device,) = loops.attached
        await client.make_volume(drive, "pvc-1")
        assert agent.process is not None
        agent.process.send_signal(signal.SIGSTOP)
        unmounted(agent, drive)
        write(device, 0, bytes(SECTOR))
        agent.process.send_signal(signal.SIGCONT)
        await has_status(client, drive, DriveStatus.ERROR)
        (shown,) = (await client.ask(Node.DEVICE_LIST, Empty())).devices
        assert "Used by DirectPV" in shown.denied

        outcome = await repaired(client, drive)

        assert (outcome.outcome, outcome.status) == ("Repaired", "Ready"), outcome
        assert [volume.record.name for volume in (await client.held(drive)).volumes] == ["pvc-1"]

    async def test_a_log_that_cannot_be_replayed_needs_force(
        self, agent: AgentProcess, loops: Loops, drive: str, client: Client
    ) -> None:
        (device,) = loops.attached
        await make_unreplayable(agent, device, drive, client)

        refused = await repaired(client, drive)

        assert (refused.outcome, refused.exit_status, refused.status) == ("Failed", 2, "Error"), refused
        assert "--force" in refused.message
        forced = await repaired(client, drive, force=True)
        assert (forced.outcome, forced.status) == ("Repaired", "Ready"), forced

    async def test_a_log_that_can_be_replayed_is_not_thrown_away_and_needs_no_force(
        self, agent: AgentProcess, loops: Loops, client: Client
    ) -> None:
        device = loops.make()
        agent.extra = ("--scan-interval=1000",)
        agent.start(device)
        drive = await client.make_drive(device)
        path = agent.root / "mnt" / drive / "precious"
        path.write_bytes(b"precious")
        run("sync", str(path))
        shut_down(agent.root / "mnt" / drive, flush_log=True)

        outcome = await repaired(client, drive, force=True)

        assert (outcome.outcome, outcome.exit_status, outcome.status) == ("Clean", 0, "Ready"), outcome
        assert path.read_bytes() == b"precious"


async def make_unreplayable(agent: AgentProcess, device: str, drive: str, client: Client) -> None:
    root = agent.root / "mnt" / drive
    assert agent.process is not None
    agent.process.send_signal(signal.SIGSTOP)
    for number in range(200):
        (root / f"file-{number}").write_bytes(b"x" * 5000)
    os.sync()
    for number in range(0, 200, 2):
        (root / f"file-{number}").unlink()
    shut_down(root, flush_log=True)
    unmounted(agent, drive)
    for group in range(4):
        write(device, group * geometry(device)["agblocks"] * BLOCK + SECTOR, b"\xa5" * SECTOR)
    agent.process.send_signal(signal.SIGCONT)
    await has_status(client, drive, DriveStatus.ERROR)


class TestRefusals:
    async def test_a_drive_in_use_is_left_mounted_and_the_error_names_volume_and_path(
        self, agent: AgentProcess, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        await client.stage("pvc-1", pods / "s")
        before = await client.held(drive)

        with pytest.raises(FailedPrecondition, match=f"pvc-1 at {pods}/s"):
            await begin(client, drive)
        with pytest.raises(FailedPrecondition):
            await begin(client, drive, dry_run=True, force=True)

        assert await client.held(drive) == before
        assert (pods / "s").is_mount()

    async def test_a_drive_with_an_open_file_is_not_unmounted_behind_its_user(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        with (agent.root / "mnt" / drive / "mine").open("wb") as file:
            outcome = await repaired(client, drive)

            assert (outcome.outcome, outcome.status, outcome.exit_status) == ("Failed", "Ready", None)
            assert "fuser -vm" in outcome.message
            file.write(b"still there")
        assert (agent.root / "mnt" / drive / "mine").read_bytes() == b"still there"

    async def test_a_drive_that_is_mounted_out_of_sight_is_not_touched(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        hidden = subprocess.Popen(("unshare", "--mount", "--propagation", "private", "sleep", "60"))
        try:
            path = f"/proc/{hidden.pid}/mountinfo"
            wait_until(lambda: drive in Path(path).read_text() and os.readlink(f"/proc/{hidden.pid}/ns/mnt")
                       != os.readlink("/proc/self/ns/mnt"), "mounted in the other namespace")  # fmt: skip
            outcome = await repaired(client, drive)
        finally:
            hidden.kill()
            hidden.wait()

        assert (outcome.outcome, outcome.status, outcome.exit_status) == ("Failed", "Ready", None)
        assert "out of sight" in outcome.message
        assert f"{hidden.pid} (sleep)" in outcome.message
        assert (await repaired(client, drive)).outcome == "Clean"

    async def test_a_lost_drive_an_unknown_one_and_copies_are_refused_with_advice(
        self, agent: AgentProcess, loops: Loops, drive: str, client: Client
    ) -> None:
        (device,) = loops.attached
        with pytest.raises(NotFound, match="by hand"):
            await begin(client, str(uuid.uuid4()))
        with pytest.raises(NotFound, match="no repair"):
            await status_of(client, drive)
        unmounted(agent, drive)
        wait_until(lambda: mounts_below(agent.root / "mnt") != [], "mounted again")
        assert agent.process is not None
        agent.process.send_signal(signal.SIGSTOP)
        unmounted(agent, drive)
        loops.detach(device)
        agent.process.send_signal(signal.SIGCONT)
        await has_status(client, drive, DriveStatus.LOST)

        with pytest.raises(FailedPrecondition, match="plug it in"):
            await begin(client, drive)
        assert (await client.held(drive)).record.status is DriveStatus.LOST

    async def test_an_order_of_a_leader_that_was_replaced_is_refused(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1")

        with pytest.raises(Fenced):
            await begin(client, drive, fence=Fence(registry=FENCE.registry, epoch=0))


class TestWhileItRuns:
    async def test_it_is_shown_as_repairing_nothing_works_on_it_and_repeats_join(
        self, gate: Path, agent: AgentProcess, loops: Loops, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        first = request(drive)
        begun = await client.ask(Node.DRIVE_REPAIR, first)
        await waiting(gate)

        held = await client.held(drive)
        assert (held.record.status, held.readable) == (DriveStatus.REPAIRING, False)
        joined = [await client.ask(Node.DRIVE_REPAIR, first), await begin(client, drive)]
        assert [status.id for status in joined] == [begun.id, begun.id]
        with pytest.raises(Busy, match="other flags"):
            await begin(client, drive, dry_run=True)
        assert await client.prepare(VolumeRecord(name="pvc-2", fsuuid=drive, capacity=MIB)) != {}
        with pytest.raises(FailedPrecondition, match="Repairing"):
            await client.stage("pvc-1", pods / "s")
        with pytest.raises(DirectPVError, match="Repairing"):
            await client.bus.call(
                Node.VOLUME_REMOVE, RemoveVolume(name="pvc-1", fsuuid=drive, fence=FENCE), node="n1", patient=False
            )
        (device,) = loops.attached
        os.truncate(loops.attached[device], 1000 * MIB)
        run("losetup", "--set-capacity", f"/dev/{device}")
        await asyncio.sleep(1.5)  # three scans
        assert (await client.held(drive)).record == held.record
        assert mounts_below(agent.root / "mnt") == []

        gate.touch()
        outcome = await ended(client, drive)
        assert (outcome.id, outcome.outcome, outcome.status) == (begun.id, "Clean", "Ready")
        assert (await client.ask(Node.DRIVE_REPAIR, first)) == outcome
        await client.drive_when(drive, lambda held: held.record.total == 1000 * MIB, "grown afterwards")

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
    async def test_it_dies_with_the_agent_and_the_next_one_mounts_the_drive(
        self, gate: Path, agent: AgentProcess, loops: Loops, drive: str, client: Client, how: signal.Signals
    ) -> None:
        await begin(client, drive)
        pid = await waiting(gate)

        agent.kill(how)

        wait_until(lambda: not _alive(pid), "xfs_repair is gone")
        agent.start(*loops.attached)
        await has_status(client, drive, DriveStatus.READY)
        with pytest.raises(NotFound, match="repeat it"):
            await status_of(client, drive)

    async def test_one_that_takes_too_long_or_is_killed_ends_and_the_drive_is_back(
        self, gate: Path, agent: AgentProcess, loops: Loops, client: Client
    ) -> None:
        device = loops.make()
        agent.extra = ("--repair-timeout=1.5",)
        agent.start(device)
        drive = await client.make_drive(device)

        late = await repaired(client, drive)

        assert (late.outcome, late.status) == ("Failed", "Ready")
        assert "did not end within 1.5 s" in late.message
        pid = await waiting(gate)
        assert not _alive(pid)
        Path(f"{gate}.pid").unlink()
        await begin(client, drive)
        os.kill(await waiting(gate), signal.SIGKILL)
        killed = await ended(client, drive)
        assert (killed.outcome, killed.exit_status, killed.status) == ("Failed", -9, "Ready")

    async def test_a_missing_program_is_named_and_the_drive_is_back(
        self, base: Path, agent: AgentProcess, loops: Loops, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (base / "bin").mkdir()
        for program in ("mkfs.xfs", "wipefs"):
            (base / "bin" / program).symlink_to(shutil.which(program) or "")
        device = loops.make()
        with monkeypatch.context() as patched:
            patched.setenv("PATH", str(base / "bin"))
            agent.start(device)
        drive = await client.make_drive(device)

        outcome = await repaired(client, drive)

        assert (outcome.outcome, outcome.status) == ("Failed", "Ready")
        assert "xfs_repair cannot be started" in outcome.message


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


async def _equal(found: list[str], wanted: list[str]) -> bool:
    return found == wanted
