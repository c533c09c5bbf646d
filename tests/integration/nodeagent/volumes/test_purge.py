"""A removal that is interrupted goes on, and what people hold is waited for and named."""

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from directpv_common.protocol.errors import DriveFault, FailedPrecondition
from directpv_common.protocol.messages import VolumeRecord
from directpv_common.protocol.names import project_id
from directpv_nodeagent.layout.core.layout import RETIRED
from directpv_nodeagent.linux import quota
from integration.nodeagent.faults import is_ready
from integration.nodeagent.harness import AgentProcess, run
from integration.nodeagent.orders import logged, mark, path_of, record_file
from support.node_client import MIB, Client, eventually


class TestCrash:
    async def test_what_a_crash_left_half_removed_is_gone_after_the_next_start(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        for name in ("renamed", "unrecorded", "whole"):
            await client.make_volume(drive, name)
        agent.kill(signal.SIGKILL)
        root = path_of(agent, drive)
        (root / "renamed/file").write_text("x")
        (root / "renamed").rename(root / "renamed.deleted")
        (root / "unrecorded/file").write_text("x")
        (root / "unrecorded").rename(root / "unrecorded.deleted")
        record_file(agent, drive, "unrecorded").unlink()
        for name in ("renamed", "unrecorded"):
            os.setxattr(root / f"{name}.deleted", RETIRED, b"")
        (root / ".directpv/volumes/.tmp-0123").write_text("torn")

        agent.start(device)

        held = await client.drive_when(drive, lambda held: held.purging == (), "remains collected")
        assert [v.record.name for v in held.volumes] == ["whole"]
        assert sorted(p.name for p in root.iterdir() if not p.name.startswith(".")) == ["whole"]
        assert sorted(p.name for p in (root / ".directpv/volumes").iterdir()) == ["whole.json"]

    async def test_remains_that_somebody_locked_afterwards_are_purged_however_deep_they_are(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        agent.kill(signal.SIGKILL)
        remains = path_of(agent, drive) / "pvc-1.deleted"
        (path_of(agent, drive) / "pvc-1").rename(remains)
        record_file(agent, drive, "pvc-1").unlink()
        os.setxattr(remains, RETIRED, b"")
        (remains / "/".join("d" * 100)).mkdir(parents=True)
        run("chattr", "+i", str(remains))
        try:
            agent.start(device)

            await client.drive_when(drive, lambda held: held.readable and held.purging == (), "remains collected")
        finally:
            if remains.exists():
                run("chattr", "-i", str(remains))
        assert not remains.exists()

    async def test_a_directory_that_somebody_renamed_is_not_destroyed_and_serves_again_under_its_name(
        self, agent: AgentProcess, device: str, drive: str, client: Client, pods: Path
    ) -> None:
        root = path_of(agent, drive)
        for name in ("recorded", "unknown"):
            await client.make_volume(drive, name)
            (root / name / "file").write_text("x")
        agent.kill(signal.SIGKILL)
        for name in ("recorded", "unknown"):
            (root / name).rename(root / f"{name}.deleted")
        record_file(agent, drive, "unknown").unlink()
        (root / "mine.deleted").mkdir()
        agent.start(device)
        await agent.answers(client)

        assert (await client.held(drive)).purging == ()
        with pytest.raises(DriveFault, match=r"directory of recorded is gone.*rename recorded\.deleted back"):
            await client.stage("recorded", pods / "s")
        await client.make_volume(drive, "other")
        await client.remove(drive, "other")  # a purge of something else does not sweep them away
        await client.drive_when(drive, lambda held: not held.purging, "its data is gone")
        assert sorted(p.name for p in root.glob("*.deleted")) == ["mine.deleted", "recorded.deleted", "unknown.deleted"]
        (root / "recorded.deleted").rename(root / "recorded")
        await client.stage("recorded", pods / "s")
        assert (pods / "s/file").read_text() == "x"

    async def test_what_is_kept_of_others_hinders_a_removal_rather_than_going_with_it(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        backup = path_of(agent, drive) / "pvc-1.deleted"
        backup.mkdir()
        (backup / "file").write_text("x")

        with pytest.raises(FailedPrecondition, match=r"pvc-1\.deleted was not made by DirectPV; give it another name"):
            await client.remove(drive, "pvc-1")
        assert (backup / "file").read_text() == "x"
        backup.rename(backup.with_name("backup"))
        assert await client.removed(drive, "pvc-1")

    async def test_remains_of_an_earlier_version_are_purged_when_the_leader_repeats_its_order(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        agent.kill(signal.SIGKILL)
        root = path_of(agent, drive)
        (root / "pvc-1").rename(root / "pvc-1.deleted")
        record_file(agent, drive, "pvc-1").unlink()
        mark(agent, drive, "held", "pvc-1").unlink()
        agent.start(device)
        await agent.answers(client)

        assert await client.removed(drive, "pvc-1")
        assert not (root / "pvc-1.deleted").exists()

    async def test_an_order_that_was_cut_short_is_ended_by_its_repeat(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        (path_of(agent, drive) / "pvc-1").mkdir(0o700)
        agent.kill(signal.SIGKILL)
        agent.start(device)

        await client.make_volume(drive, "pvc-1")

        descriptor = os.open(path_of(agent, drive) / "pvc-1", os.O_RDONLY)
        try:
            assert quota.attributes(descriptor).belongs_to(project_id("pvc-1"))
        finally:
            os.close(descriptor)

    async def test_killed_at_any_moment_of_a_storm_every_answered_volume_exists(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        answered: list[str] = []

        async def make(name: str) -> None:
            if await client.prepare(VolumeRecord(name=name, fsuuid=drive, capacity=MIB)) == {}:
                answered.append(name)

        for round in range(4):
            storm = asyncio.gather(*(make(f"v{round}-{n}") for n in range(60)), return_exceptions=True)
            await eventually(lambda want=round * 60 + 10 * round: _more(answered, want), "some were answered")
            agent.kill(signal.SIGKILL)
            before = list(answered)
            agent.start(device)
            held = await client.drive_when(drive, lambda held: held.readable, "drive is back")
            names = {v.record.name for v in held.volumes}
            assert set(before) <= names
            assert all((path_of(agent, drive) / name).is_dir() for name in names)
            await storm
        names = {v.record.name for v in (await client.held(drive)).volumes}
        assert len(names) == 240


async def _more(answered: list[str], than: int) -> bool:
    return len(answered) > than


async def test_a_purge_goes_on_when_its_drive_can_be_written_again(
    agent: AgentProcess, drive: str, client: Client
) -> None:
    await client.make_volume(drive, "pvc-1")
    root = path_of(agent, drive)
    (root / "pvc-1/data").write_bytes(b"x" * MIB)
    with (root / "pvc-1/data").open("rb"):
        await client.remove(drive, "pvc-1")
        await client.drive_when(drive, lambda held: held.purging == ("pvc-1",), "its space is kept")
        run("mount", "-o", "remount,bind,ro", str(root))
        await client.drive_when(drive, lambda held: held.record.status == "Error", "it cannot be written")
        await eventually(partial(logged, agent, "purge paused"), "nobody waits for the drive")
    run("mount", "-o", "remount,bind,rw", str(root))
    await client.drive_when(drive, is_ready, "it can be written again")

    await client.drive_when(drive, lambda held: not held.purging, "its data is gone")
