"""A repair while it runs: what is refused meanwhile, and what happens when it is killed."""

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest

from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import Busy, DirectPVError, FailedPrecondition, NotFound
from directpv_common.protocol.messages import (
    DriveStatus,
    RemoveVolume,
    VolumeRecord,
)
from integration.nodeagent.harness import AgentProcess, Loops, mounts_below, run, wait_until
from integration.nodeagent.repairing import begin, ended, has_status, repaired, request, status_of
from support.node_client import FENCE, MIB, Client, eventually


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
