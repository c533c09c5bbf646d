"""The leader's order "remove": what is destroyed is the volume that is meant, once, and nothing else."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import FailedPrecondition, Unavailable
from directpv_common.protocol.messages import Fence, RemoveVolume, VolumeRecord
from integration.nodeagent.harness import AgentProcess, run
from integration.nodeagent.orders import UNKNOWN, logged, path_of, record_file
from support.node_client import MIB, Client, eventually


class TestRemove:
    async def test_a_small_volume_is_gone_when_it_is_answered(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        (path_of(agent, drive) / "pvc-1/dir").mkdir()
        (path_of(agent, drive) / "pvc-1/dir/file").write_text("x")

        assert await client.removed(drive, "pvc-1")

        assert not (path_of(agent, drive) / "pvc-1").exists()
        assert not (path_of(agent, drive) / "pvc-1.deleted").exists()
        assert not record_file(agent, drive, "pvc-1").exists()
        assert await client.removed(drive, "pvc-1")
        assert (await client.held(drive)).volumes == ()

    async def test_a_mounted_volume_is_kept_and_the_paths_are_named(
        self, agent: AgentProcess, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        await client.stage("pvc-1", pods / "s")
        (pods / "s/sub").mkdir()
        (pods / "subpath").mkdir()
        run("mount", "--bind", str(pods / "s/sub"), str(pods / "subpath"))

        with pytest.raises(FailedPrecondition, match=str(pods / "s")):
            await client.remove(drive, "pvc-1")
        await client.unstage("pvc-1", pods / "s")
        with pytest.raises(FailedPrecondition, match="subpath"):
            await client.remove(drive, "pvc-1")

        assert (path_of(agent, drive) / "pvc-1/sub").is_dir()
        run("umount", str(pods / "subpath"))
        assert await client.removed(drive, "pvc-1")

    async def test_nothing_is_said_of_a_volume_whose_drive_is_not_here(self, drive: str, client: Client) -> None:
        with pytest.raises(Unavailable):
            await client.bus.call(
                Node.VOLUME_REMOVE,
                _removal(UNKNOWN, "pvc-1"),
                node="n1",
                within=5,
                patient=False,
            )

    async def test_links_and_mounts_inside_lead_nowhere(
        self, agent: AgentProcess, drive: str, client: Client, base: Path
    ) -> None:
        victim = base / "victim"
        victim.mkdir()
        (victim / "precious").write_text("kept")
        await client.make_volume(drive, "pvc-1")
        await client.make_volume(drive, "pvc-2")
        data = path_of(agent, drive) / "pvc-1"
        (path_of(agent, drive) / "pvc-2/precious").write_text("kept")
        (data / "abs").symlink_to(victim)
        (data / "up").symlink_to("../pvc-2")
        (data / "loop").symlink_to(".")
        os.mkfifo(data / "fifo")
        os.mknod(data / "device", 0o600 | 0o020000, os.makedev(1, 3))

        assert await client.removed(drive, "pvc-1")

        assert (victim / "precious").read_text() == "kept"
        assert (path_of(agent, drive) / "pvc-2/precious").read_text() == "kept"

    async def test_data_below_a_mount_inside_the_remains_is_not_touched(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        await client.make_volume(drive, "pvc-2")
        other = path_of(agent, drive) / "pvc-2"
        (other / "precious").write_text("kept")
        (path_of(agent, drive) / "pvc-1/inside").mkdir()
        run("mount", "--bind", str(other), str(path_of(agent, drive) / "pvc-1/inside"))
        try:
            assert not await client.remove(drive, "pvc-1")
            assert (other / "precious").read_text() == "kept"
            assert (await client.held(drive)).purging == ("pvc-1",)
        finally:
            run("umount", str(path_of(agent, drive) / "pvc-1.deleted/inside"))

    async def test_deep_trees_and_immutable_files_are_purged(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        here = os.open(path_of(agent, drive) / "pvc-1", os.O_RDONLY)
        for _ in range(1500):
            os.mkdir("d", dir_fd=here)
            deeper = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = deeper
        os.close(here)
        (path_of(agent, drive) / "pvc-1/fixed").write_text("x")
        (path_of(agent, drive) / "pvc-1/dir").mkdir()
        (path_of(agent, drive) / "pvc-1/dir/log").write_text("x")
        run("chattr", "+i", str(path_of(agent, drive) / "pvc-1/fixed"))
        run("chattr", "+a", str(path_of(agent, drive) / "pvc-1/dir/log"))
        run("chattr", "+i", str(path_of(agent, drive) / "pvc-1/dir"))

        await client.remove(drive, "pvc-1")

        await client.drive_when(drive, lambda held: held.purging == (), "purged")
        assert not (path_of(agent, drive) / "pvc-1.deleted").exists()

    @pytest.mark.parametrize("how", ["open file", "current directory", "mapping"])
    async def test_space_that_deleted_files_keep_is_promised_to_nobody_until_the_process_that_is_named_lets_go(
        self, agent: AgentProcess, device: str, drive: str, client: Client, how: str
    ) -> None:
        await client.make_volume(drive, "pvc-1", 400)
        await client.make_volume(drive, "pvc-2", 1)
        directory = path_of(agent, drive) / "pvc-1/inside"
        directory.mkdir()
        (directory / "data").write_bytes(b"x" * MIB)
        with holding(directory, how) as process:
            assert not await client.remove(drive, "pvc-1")
            await eventually(lambda: logged(agent, f"{process.pid} ("), "the process is named")
            failed = await client.prepare(VolumeRecord(name="pvc-3", fsuuid=drive, capacity=400 * MIB))
            assert "left" in failed["pvc-3"]
            await client.remove(drive, "pvc-2")
            await client.drive_when(drive, lambda held: held.purging == ("pvc-1",), "others are gone")

            agent.kill()
            agent.start(device)
            await agent.answers(client)
            await eventually(lambda: logged(agent, f"{process.pid} (", 2), "it is known after a restart")
            assert (await client.held(drive)).purging == ("pvc-1",)

        await client.drive_when(drive, lambda held: held.purging == (), "nobody holds anything")
        await client.make_volume(drive, "pvc-3", 400)

    @pytest.mark.parametrize("flag", ["+i", "+a"])
    async def test_a_volume_whose_directory_itself_is_immutable_or_append_only_is_removed(
        self, agent: AgentProcess, drive: str, client: Client, flag: str
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        (path_of(agent, drive) / "pvc-1/file").write_text("x")
        run("chattr", flag, str(path_of(agent, drive) / "pvc-1"))

        await client.remove(drive, "pvc-1")

        await client.drive_when(drive, lambda held: held.purging == () and held.volumes == (), "purged")
        assert not (path_of(agent, drive) / "pvc-1.deleted").exists()

    async def test_a_volume_can_be_made_anew_while_the_old_one_is_purged_and_removed_again(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        for number in range(20_000):
            os.mknod(path_of(agent, drive) / f"pvc-1/{number}")

        removed = await client.remove(drive, "pvc-1")
        await client.make_volume(drive, "pvc-1")
        (path_of(agent, drive) / "pvc-1/new").write_text("new")
        names = os.listdir(path_of(agent, drive) / "pvc-1")
        await client.remove(drive, "pvc-1")

        assert names == ["new"], removed
        await client.drive_when(drive, lambda held: held.purging == () and held.volumes == (), "purged")
        assert sorted(p.name for p in path_of(agent, drive).iterdir()) == [".FSUUID." + drive, ".directpv"] or sorted(
            p.name for p in path_of(agent, drive).iterdir()
        ) == [".directpv", ".FSUUID." + drive]

    async def test_removals_and_repeats_at_once_end_in_one_state(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        for number in range(10):
            await client.make_volume(drive, f"v{number}", mib=1)

        await asyncio.gather(*(client.remove(drive, f"v{number % 10}") for number in range(50)))

        held = await client.drive_when(drive, lambda held: held.purging == (), "purged")
        assert held.volumes == ()
        assert [p.name for p in path_of(agent, drive).iterdir() if not p.name.startswith(".")] == []


class TestIncarnations:
    """A name is used again; each volume of it is destroyed, changed and shown by its own incarnation only."""

    async def test_an_order_to_destroy_an_earlier_volume_leaves_a_later_one_of_its_name_alone(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1", incarnation="bb02")
        data = path_of(agent, drive) / "pvc-1/data"
        data.write_text("kept")

        assert await client.removed(drive, "pvc-1", incarnation="aa01"), "the earlier one is gone"
        assert data.read_text() == "kept"
        agent.kill()
        agent.start(device)
        await agent.answers(client)
        assert await client.removed(drive, "pvc-1", incarnation="aa01")
        assert data.read_text() == "kept"

        assert await client.removed(drive, "pvc-1", incarnation="bb02")
        assert not data.exists()

    async def test_a_later_volume_is_not_made_over_the_data_of_an_earlier_one(self, drive: str, client: Client) -> None:
        await client.make_volume(drive, "pvc-1", incarnation="aa01")

        failed = await client.prepare(VolumeRecord(name="pvc-1", fsuuid=drive, capacity=20 * MIB, incarnation="bb02"))
        assert "another volume of that name" in failed["pvc-1"]
        (held,) = (await client.held(drive)).volumes
        assert held.record.incarnation == "aa01"

    async def test_a_stage_shows_only_the_volume_that_its_context_names(
        self, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1", incarnation="aa01")

        with pytest.raises(FailedPrecondition, match="another volume of that name"):
            await client.stage("pvc-1", pods / "staging", incarnation="bb02")
        await client.stage("pvc-1", pods / "staging", incarnation="aa01")
        await client.unstage("pvc-1", pods / "staging")
        await client.stage("pvc-1", pods / "staging")  # its context is of before there were any

    async def test_a_leader_and_volumes_of_an_earlier_version_are_understood(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "old")
        await client.make_volume(drive, "new", incarnation="aa01")

        assert await client.removed(drive, "old", incarnation="aa01")
        assert await client.removed(drive, "new", incarnation=None)
        assert (await client.held(drive)).volumes == ()


HOLD = {
    "open file": "f = open('data'); os.chdir('/')",
    "current directory": "",
    "mapping": "f = os.open('data', os.O_RDWR); m = mmap.mmap(f, 4096); os.close(f); os.chdir('/')",
}
"""What a program does that keeps space of its current directory, or of a file in it."""


@contextlib.contextmanager
def holding(directory: Path, how: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds something of the directory."""
    lines = ("import mmap, os, time", HOLD[how], "print('held', flush=True)", "time.sleep(600)")
    command = [sys.executable, "-c", "\n".join(lines)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=directory) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


def _removal(drive: str, name: str) -> RemoveVolume:
    return RemoveVolume(name=name, fsuuid=drive, fence=Fence(registry="test", epoch=1))
