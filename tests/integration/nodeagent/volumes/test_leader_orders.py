"""Volumes made and destroyed on the leader's order: durable, idempotent, fenced, and harmless to everything else."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import DriveFault, FailedPrecondition, Fenced, Unavailable
from directpv_common.protocol.messages import DriveRecord, Fence, RemoveVolume, UpdateDrive, VolumeRecord
from directpv_common.protocol.names import AccessTier, project_id
from directpv_common.protocol.subjects import Subjects
from directpv_common.protocol.wire import encode
from directpv_nodeagent.layout.core.layout import RETIRED
from directpv_nodeagent.linux import quota
from integration.nodeagent.faults import is_ready
from integration.nodeagent.harness import AgentProcess, run
from support.node_client import MIB, Client, eventually

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def path_of(agent: AgentProcess, drive: str) -> Path:
    return agent.root / "mnt" / drive


def record_file(agent: AgentProcess, drive: str, name: str) -> Path:
    return path_of(agent, drive) / ".directpv/volumes" / f"{name}.json"


def mark(agent: AgentProcess, drive: str, kind: str, name: str) -> Path:
    path = path_of(agent, drive) / ".directpv" / kind
    path.mkdir(exist_ok=True)
    return path / name


class TestPrepare:
    async def test_directory_project_id_and_record_are_on_the_drive_when_it_is_answered(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1", claim_id="c", labels={"a": "b"})

        directory = path_of(agent, drive) / "pvc-1"
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            assert quota.attributes(descriptor).belongs_to(project_id("pvc-1"))
        finally:
            os.close(descriptor)
        assert directory.stat().st_mode & 0o7777 == 0o755
        kept = json.loads(record_file(agent, drive, "pvc-1").read_bytes())
        assert (kept["capacity"], kept["claim_id"], kept["labels"]) == (20 * MIB, "c", {"a": "b"})

    async def test_a_repeat_keeps_the_data_and_never_shrinks(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1", mib=20)
        (path_of(agent, drive) / "pvc-1/data").write_text("kept")

        await client.make_volume(drive, "pvc-1", mib=10, labels={"new": "label"})

        (held,) = (await client.held(drive)).volumes
        assert (held.record.capacity, held.record.labels) == (20 * MIB, {"new": "label"})
        assert (path_of(agent, drive) / "pvc-1/data").read_text() == "kept"

    async def test_one_volume_that_does_not_fit_spoils_no_other(self, drive: str, client: Client) -> None:
        failed = await client.prepare(
            VolumeRecord(name="small", fsuuid=drive, capacity=MIB),
            VolumeRecord(name="huge", fsuuid=drive, capacity=10**12),
            VolumeRecord(name="lost", fsuuid=UNKNOWN, capacity=MIB),
        )

        assert failed.keys() == {"huge", "lost"}
        assert "left" in failed["huge"]
        assert [v.record.name for v in (await client.held(drive)).volumes] == ["small"]

    async def test_volumes_asked_at_once_never_exceed_the_drive(self, drive: str, client: Client) -> None:
        record = (await client.held(drive)).record
        each = (record.total - record.overhead) // 4

        outcome = await asyncio.gather(
            *(client.prepare(VolumeRecord(name=f"v{n}", fsuuid=drive, capacity=each)) for n in range(10))
        )

        assert sum(failed == {} for failed in outcome) == 4

    async def test_a_replaced_leader_is_refused(self, drive: str, client: Client) -> None:
        await client.prepare(fence=Fence(registry="r", epoch=7))

        with pytest.raises(Fenced):
            await client.prepare(VolumeRecord(name="v", fsuuid=drive, capacity=MIB), fence=Fence(registry="r", epoch=6))
        with pytest.raises(Fenced):
            await client.remove(drive, "v", fence=Fence(registry="r", epoch=6))
        assert (await client.held(drive)).volumes == ()

    @pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "x.deleted", "a\0b", "n" * 129, ""])
    async def test_names_that_could_leave_the_drive_do_nothing(
        self, agent: AgentProcess, drive: str, client: Client, name: str
    ) -> None:
        before = sorted(path.name for path in path_of(agent, drive).iterdir())
        body = {"records": [{"name": name, "fsuuid": drive, "capacity": MIB}], "fence": {"registry": "r", "epoch": 1}}
        removal = {"name": name, "fsuuid": drive, "fence": {"registry": "r", "epoch": 1}}

        for verb, message in (("prepare", body), ("remove", removal)):
            subject = Subjects().node("n1", "volume", verb)
            reply = await client.bus.client.request(subject, encode(message), timeout=10)
            refused = (reply.headers or {}).get("Nats-Service-Error-Code") == "400"
            assert refused or name in json.loads(reply.data)["failed"]

        assert sorted(path.name for path in path_of(agent, drive).iterdir()) == before

    async def test_a_volume_whose_directory_vanished_is_not_made_anew_and_empty(
        self, agent: AgentProcess, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        (path_of(agent, drive) / "pvc-1").rmdir()

        failed = await client.prepare(VolumeRecord(name="pvc-1", fsuuid=drive, capacity=30 * MIB))

        assert "gone" in failed["pvc-1"]
        with pytest.raises(Exception, match="gone"):
            await client.stage("pvc-1", pods / "s")
        assert not (path_of(agent, drive) / "pvc-1").exists()

    @pytest.mark.parametrize("left", [b"", b"{", None])
    async def test_a_volume_whose_record_is_damaged_is_neither_destroyed_nor_shown_in_place_of_another(
        self, agent: AgentProcess, device: str, drive: str, client: Client, pods: Path, left: bytes | None
    ) -> None:
        await client.make_volume(drive, "pvc-1", incarnation="bb")
        (path_of(agent, drive) / "pvc-1/data").write_text("kept")
        agent.kill(signal.SIGKILL)
        record = record_file(agent, drive, "pvc-1")
        record.unlink() if left is None else record.write_bytes(left)
        agent.start(device)
        await agent.answers(client)
        await client.drive_when(drive, is_ready, "the drive was read")

        assert await client.removed(drive, "pvc-1", incarnation="aa"), "the earlier one of that name is gone"
        anew = VolumeRecord(name="pvc-1", fsuuid=drive, capacity=20 * MIB, incarnation="cc")
        assert "earlier volume" in (await client.prepare(anew))["pvc-1"]
        with pytest.raises(FailedPrecondition, match="earlier volume"):
            await client.stage("pvc-1", pods / "s", incarnation="cc", fsuuid=drive, capacity=20 * MIB)

        await client.stage("pvc-1", pods / "s", incarnation="bb", fsuuid=drive, capacity=20 * MIB)
        assert (pods / "s/data").read_text() == "kept"
        await client.unstage("pvc-1", pods / "s")
        await client.remove(drive, "pvc-1", incarnation="bb")
        assert not (path_of(agent, drive) / "pvc-1").exists()

    async def test_a_mark_that_an_earlier_version_left_behind_is_brought_up_to_date(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1", incarnation="bb")
        agent.kill(signal.SIGKILL)
        held = mark(agent, drive, "held", "pvc-1")
        held.unlink()
        held.symlink_to("aa")  # it removed that one, and made the name anew, without a look at marks
        agent.start(device)
        await agent.answers(client)
        await client.drive_when(drive, is_ready, "the drive was read")
        assert os.readlink(held) == "bb"

    async def test_what_a_person_put_aside_is_not_destroyed_with_a_later_volume_of_its_name(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1", incarnation="aa")
        (path_of(agent, drive) / "pvc-1/data").write_text("kept")
        agent.kill(signal.SIGKILL)
        record_file(agent, drive, "pvc-1").unlink()
        aside = (path_of(agent, drive) / "pvc-1").rename(path_of(agent, drive) / "pvc-1.deleted")
        agent.start(device)
        await agent.answers(client)
        await client.drive_when(drive, is_ready, "the drive was read")

        assert await client.removed(drive, "pvc-1", incarnation="bb"), "it was never made"

        assert (aside / "data").read_text() == "kept"

    async def test_a_volume_of_which_directory_and_record_are_gone_is_not_staged_empty_either(
        self, agent: AgentProcess, device: str, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1", incarnation="aa")
        agent.kill(signal.SIGKILL)
        (path_of(agent, drive) / "pvc-1").rmdir()
        record_file(agent, drive, "pvc-1").unlink()
        agent.start(device)
        await agent.answers(client)

        for incarnation in ("aa", ""):
            with pytest.raises(DriveFault, match=r"directory of pvc-1 is gone.*put it back"):
                await client.stage("pvc-1", pods / "s", fsuuid=drive, capacity=20 * MIB, incarnation=incarnation)
            record = VolumeRecord(name="pvc-1", fsuuid=drive, capacity=20 * MIB, incarnation=incarnation)
            assert "gone" in (await client.prepare(record))["pvc-1"]
        assert not (path_of(agent, drive) / "pvc-1").exists()

        assert await client.removed(drive, "pvc-1")
        await client.make_volume(drive, "pvc-1")

    async def test_a_later_volume_is_made_under_the_name_of_one_that_vanished(
        self, agent: AgentProcess, device: str, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1", incarnation="aa")
        agent.kill(signal.SIGKILL)
        (path_of(agent, drive) / "pvc-1").rmdir()
        record_file(agent, drive, "pvc-1").unlink()
        agent.start(device)
        await agent.answers(client)

        await client.stage("pvc-1", pods / "s", fsuuid=drive, capacity=20 * MIB, incarnation="bb")
        with pytest.raises(FailedPrecondition, match="another volume of that name"):
            await client.stage("pvc-1", pods / "t", fsuuid=drive, capacity=20 * MIB, incarnation="aa")

    async def test_volumes_that_an_earlier_version_made_are_known_by_name_after_one_start(
        self, agent: AgentProcess, device: str, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        agent.kill(signal.SIGKILL)
        mark(agent, drive, "held", "pvc-1").unlink()
        mark(agent, drive, "held", "").rmdir()
        agent.start(device)
        await agent.answers(client)
        await eventually(client.inventory, "the drive was looked at")
        agent.kill(signal.SIGKILL)
        (path_of(agent, drive) / "pvc-1").rmdir()
        record_file(agent, drive, "pvc-1").unlink()
        agent.start(device)
        await agent.answers(client)

        with pytest.raises(DriveFault, match="directory of pvc-1 is gone"):
            await client.stage("pvc-1", pods / "s", fsuuid=drive, capacity=20 * MIB)

    async def test_a_link_in_place_of_a_volume_is_not_followed(
        self, agent: AgentProcess, drive: str, client: Client, base: Path, pods: Path
    ) -> None:
        (base / "victim").mkdir()
        (path_of(agent, drive) / "pvc-1").symlink_to(base / "victim")

        failed = await client.prepare(VolumeRecord(name="pvc-1", fsuuid=drive, capacity=MIB))

        assert "not a directory" in failed["pvc-1"]
        assert not record_file(agent, drive, "pvc-1").exists()


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
            await eventually(lambda: _logged(agent, f"{process.pid} ("), "the process is named")
            failed = await client.prepare(VolumeRecord(name="pvc-3", fsuuid=drive, capacity=400 * MIB))
            assert "left" in failed["pvc-3"]
            await client.remove(drive, "pvc-2")
            await client.drive_when(drive, lambda held: held.purging == ("pvc-1",), "others are gone")

            agent.kill()
            agent.start(device)
            await agent.answers(client)
            await eventually(lambda: _logged(agent, f"{process.pid} (", 2), "it is known after a restart")
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


async def _logged(agent: AgentProcess, text: str, times: int = 1) -> bool:
    return agent.log_text().count(text) >= times


def _removal(drive: str, name: str) -> RemoveVolume:
    return RemoveVolume(name=name, fsuuid=drive, fence=Fence(registry="test", epoch=1))


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


async def test_what_people_decide_about_a_drive_is_kept_on_it(
    agent: AgentProcess, device: str, drive: str, client: Client
) -> None:
    held = (await client.held(drive)).record
    wanted = DriveRecord(
        fsuuid=drive, node="n1", total=1, overhead=0, unschedulable=True, access_tier=AccessTier.HOT,
        labels={"example.com/rack": "7"},
    )  # fmt: skip

    await client.ask(Node.DRIVE_UPDATE, UpdateDrive(record=wanted, fence=Fence(registry="test", epoch=1)))
    agent.kill(signal.SIGKILL)
    agent.start(device)

    record = (await client.drive_when(drive, lambda held: held.readable, "drive is back")).record
    assert (record.unschedulable, record.access_tier, record.labels) == (True, "Hot", {"example.com/rack": "7"})
    assert (record.total, record.overhead) == (held.total, held.overhead)


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
        await eventually(partial(_logged, agent, "purge paused"), "nobody waits for the drive")
    run("mount", "-o", "remount,bind,rw", str(root))
    await client.drive_when(drive, is_ready, "it can be written again")

    await client.drive_when(drive, lambda held: not held.purging, "its data is gone")
