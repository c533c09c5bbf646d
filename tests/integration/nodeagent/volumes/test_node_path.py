"""Stage, publish, unpublish and unstage through the real agent, over the bus, on a real XFS; no controller anywhere."""

import asyncio
import errno
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import Busy, Conflict, FailedPrecondition, InvalidRequest, NotFound, OutOfRange
from directpv_common.protocol.messages import ExpandNodeVolume, GetVolumeUsage, StatVolume, VolumeRecord, VolumeStats
from directpv_common.protocol.names import SUSPEND
from integration.nodeagent.harness import AgentProcess, mounts_below, run, wait_until
from integration.nodeagent.orders import UNKNOWN
from support.node_client import MIB, Client


@pytest.fixture
async def volume(drive: str, client: Client) -> str:
    await client.make_volume(drive, "pvc-1")
    return "pvc-1"


async def test_a_volume_is_staged_published_written_and_taken_away(
    drive: str, volume: str, client: Client, pods: Path
) -> None:
    staging, target = pods / "staging", pods / "target"

    await client.stage(volume, staging)
    await client.publish(volume, staging, target)
    (target / "file").write_text("hello")

    assert (staging / "file").read_text() == "hello"
    held = await client.held(drive)
    assert held.volumes[0].use.staged == str(staging)
    assert held.volumes[0].use.published == (str(target),)
    await client.unpublish(volume, target)
    await client.unstage(volume, staging)
    assert not target.exists()
    assert mounts_below(pods) == []
    assert list(staging.iterdir()) == []
    assert (await client.held(drive)).volumes[0].use.staged == ""


async def test_every_step_can_be_repeated(volume: str, client: Client, pods: Path) -> None:
    staging, target = pods / "s", pods / "t"
    for step in (
        lambda: client.stage(volume, staging),
        lambda: client.publish(volume, staging, target),
        lambda: client.unpublish(volume, target),
        lambda: client.unstage(volume, staging),
    ):
        for _ in range(3):
            await step()
        assert len(mounts_below(pods)) == len(set(mounts_below(pods)))


async def test_the_same_call_many_times_at_once_mounts_once(volume: str, client: Client, pods: Path) -> None:
    staging, target = pods / "s", pods / "t"

    await asyncio.gather(*(client.stage(volume, staging) for _ in range(20)))
    await asyncio.gather(*(client.publish(volume, staging, target) for _ in range(20)))

    assert mounts_below(staging) == [str(staging)]
    assert mounts_below(target) == [str(target)]


async def test_several_pods_get_a_volume_at_once(drive: str, volume: str, client: Client, pods: Path) -> None:
    staging, targets = pods / "s", [pods / f"t{n}" for n in range(8)]
    await client.stage(volume, staging)

    await asyncio.gather(*(client.publish(volume, staging, target) for target in targets))

    assert (await client.held(drive)).volumes[0].use.published == tuple(map(str, targets))
    await asyncio.gather(*(client.unpublish(volume, target) for target in targets))
    assert mounts_below(pods) == [str(staging)]


async def test_a_read_only_volume_refuses_every_write_even_from_root(volume: str, client: Client, pods: Path) -> None:
    staging, target = pods / "s", pods / "t"
    await client.stage(volume, staging)
    (staging / "file").write_text("kept")

    await client.publish(volume, staging, target, read_only=True)

    for write in (
        lambda: (target / "new").touch(),
        lambda: (target / "file").write_text("changed"),
        lambda: (target / "file").unlink(),
        lambda: (target / "dir").mkdir(),
        lambda: os.chmod(target / "file", 0o777),
    ):
        with pytest.raises(OSError) as caught:
            write()
        assert caught.value.errno == errno.EROFS
    assert (target / "file").read_text() == "kept"
    (staging / "file").write_text("the staging path stays writable")


async def test_publishing_again_with_another_access_is_a_conflict(volume: str, client: Client, pods: Path) -> None:
    staging, target = pods / "s", pods / "t"
    await client.stage(volume, staging)
    await client.publish(volume, staging, target, read_only=True)

    with pytest.raises(Conflict):
        await client.publish(volume, staging, target)
    with pytest.raises(OSError):
        (target / "x").touch()


async def test_a_single_writer_gets_no_second_target(volume: str, client: Client, pods: Path) -> None:
    staging = pods / "s"
    await client.stage(volume, staging)
    await client.publish(volume, staging, pods / "a", single_writer=True)

    with pytest.raises(FailedPrecondition, match=str(pods / "a")):
        await client.publish(volume, staging, pods / "b", single_writer=True)
    assert not (pods / "b").exists() or (pods / "b") not in mounts_below(pods)


async def test_mount_flags_hold_on_the_volume(volume: str, client: Client, pods: Path) -> None:
    staging, target = pods / "s", pods / "t"
    await client.stage(volume, staging, mount_flags=("nosuid",))
    await client.publish(volume, staging, target, mount_flags=("noexec", "nodev"))

    flags = os.statvfs(target).f_flag

    assert flags & os.ST_NOSUID
    assert flags & os.ST_NOEXEC
    assert flags & os.ST_NODEV
    assert not os.statvfs(staging).f_flag & os.ST_NOEXEC


async def test_publishing_what_is_not_staged_is_refused(volume: str, client: Client, pods: Path) -> None:
    with pytest.raises(FailedPrecondition, match="NodeStageVolume"):
        await client.publish(volume, pods / "s", pods / "t")
    assert not (pods / "t").exists()


async def test_unknown_volumes_are_not_found_but_gone_ones_are_fine(drive: str, client: Client, pods: Path) -> None:
    with pytest.raises(NotFound):
        await client.stage("nobody", pods / "s")
    with pytest.raises(NotFound):
        await client.publish("nobody", pods / "s", pods / "t")
    with pytest.raises(NotFound):
        await client.ask(Node.VOLUME_STATS, StatVolume(name="nobody", volume_path=str(pods)))
    with pytest.raises(NotFound):
        await client.ask(Node.VOLUME_EXPAND, ExpandNodeVolume(name="nobody", volume_path=str(pods), required=1))
    await client.unpublish("nobody", pods / "t")
    await client.unstage("nobody", pods / "s")


class TestPaths:
    @pytest.mark.parametrize("path", ["/", "/a/../b", "/..", "//", "/."])
    async def test_paths_that_lead_elsewhere_are_refused(self, volume: str, client: Client, path: str) -> None:
        with pytest.raises(InvalidRequest, match="staging_target_path"):
            await client.stage(volume, path)

    async def test_drives_themselves_are_no_place_to_mount(
        self, drive: str, volume: str, client: Client, base: Path
    ) -> None:
        for path in (base / "root-n1", base / "root-n1/mnt" / drive, base / "root-n1/mnt" / drive / "pvc-1"):
            with pytest.raises(InvalidRequest):
                await client.stage(volume, path)
            with pytest.raises(InvalidRequest):
                await client.unpublish(volume, path)
        assert (base / "root-n1/mnt" / drive / "pvc-1").is_dir()

    async def test_a_link_as_target_is_not_followed(self, volume: str, client: Client, pods: Path) -> None:
        (pods / "elsewhere").mkdir()
        (pods / "t").symlink_to(pods / "elsewhere")
        await client.stage(volume, pods / "s")

        with pytest.raises(FailedPrecondition, match="not a directory"):
            await client.publish(volume, pods / "s", pods / "t")
        assert mounts_below(pods / "elsewhere") == []

    async def test_a_link_on_the_way_is_followed_and_the_repeat_finds_the_mount(
        self, volume: str, client: Client, pods: Path
    ) -> None:
        (pods / "real").mkdir()
        (pods / "link").symlink_to(pods / "real")

        for _ in range(2):
            await client.stage(volume, pods / "link/s")
            await client.publish(volume, pods / "link/s", pods / "link/t")

        assert sorted(mounts_below(pods)) == [str(pods / "real/s"), str(pods / "real/t")]
        await client.unpublish(volume, pods / "link/t")
        await client.unstage(volume, pods / "link/s")
        assert mounts_below(pods) == []

    async def test_a_blank_in_a_path_is_no_obstacle(self, volume: str, client: Client, pods: Path) -> None:
        for _ in range(2):
            await client.stage(volume, pods / "a b\\c")
        await client.unstage(volume, pods / "a b\\c")
        assert mounts_below(pods) == []

    async def test_a_missing_parent_is_not_made(self, volume: str, client: Client, pods: Path) -> None:
        await client.stage(volume, pods / "s")

        with pytest.raises(FailedPrecondition, match="kubelet"):
            await client.publish(volume, pods / "s", pods / "no/t")
        assert not (pods / "no").exists()

    async def test_a_file_as_target_is_refused_and_kept(self, volume: str, client: Client, pods: Path) -> None:
        (pods / "t").write_text("mine")
        await client.stage(volume, pods / "s")

        with pytest.raises(FailedPrecondition):
            await client.publish(volume, pods / "s", pods / "t")
        with pytest.raises(FailedPrecondition):
            await client.unpublish(volume, pods / "t")
        assert (pods / "t").read_text() == "mine"

    async def test_a_foreign_mount_is_neither_covered_nor_taken_away(
        self, volume: str, client: Client, pods: Path
    ) -> None:
        (pods / "s").mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=1m", "foreign", str(pods / "s"))
        (pods / "s/file").touch()

        for call in (client.stage(volume, pods / "s"), client.unstage(volume, pods / "s")):
            with pytest.raises(FailedPrecondition, match="foreign"):
                await call
        assert (pods / "s/file").exists()

    async def test_content_below_an_unmounted_target_is_never_deleted_and_keeps_no_pod_from_leaving(
        self, agent: AgentProcess, volume: str, client: Client, pods: Path
    ) -> None:
        (pods / "t").mkdir()
        (pods / "t/leaked").write_text("not the volume's")

        await client.unpublish(volume, pods / "t")

        assert (pods / "t/leaked").exists()
        wait_until(lambda: "leaked" in agent.log_text(), "it is told by name")

    async def test_mounts_on_top_of_each_other_are_all_taken_away(
        self, volume: str, client: Client, pods: Path
    ) -> None:
        await client.stage(volume, pods / "s")
        run("mount", "--bind", str(pods / "s"), str(pods / "s"))

        await client.unstage(volume, pods / "s")

        assert mounts_below(pods) == []

    async def test_a_volume_in_use_is_taken_away_all_the_same(self, volume: str, client: Client, pods: Path) -> None:
        await client.stage(volume, pods / "s")
        await client.publish(volume, pods / "s", pods / "t")

        with (pods / "t/open").open("w") as file:
            await client.unpublish(volume, pods / "t")
            file.write("still written")

        assert not (pods / "t").exists()
        assert (pods / "s/open").read_text() == "still written"


class TestSuspended:
    async def test_a_suspended_volume_shows_an_empty_read_only_directory(
        self, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1", labels={SUSPEND: "true"})
        staging, target = pods / "s", pods / "t"

        for _ in range(2):
            await client.stage("pvc-1", staging)
            await client.publish("pvc-1", staging, target)

        assert mounts_below(pods) == [str(target), str(staging)]
        assert list(target.iterdir()) == list(staging.iterdir()) == []
        with pytest.raises(OSError):
            (target / "x").touch()
        await client.unpublish("pvc-1", target)
        await client.unstage("pvc-1", staging)
        assert mounts_below(pods) == []

    async def test_a_resumed_volume_shows_its_data_to_the_next_pod(
        self, drive: str, client: Client, pods: Path
    ) -> None:
        record = await client.make_volume(drive, "pvc-1", labels={SUSPEND: "true"})
        await client.publish("pvc-1", pods / "s", pods / "old")

        await client.make_volume(drive, "pvc-1", labels={})
        await client.publish("pvc-1", pods / "s", pods / "old")
        await client.stage("pvc-1", pods / "s")
        await client.publish("pvc-1", pods / "s", pods / "new")
        (pods / "new/x").touch()

        assert list((pods / "old").iterdir()) == []
        assert record.capacity == (await client.held(drive)).volumes[0].record.capacity


class TestExpandAndStats:
    async def expand(self, client: Client, path: Path, required: int, limit: int = 0) -> int:
        request = ExpandNodeVolume(name="pvc-1", volume_path=str(path), required=required, limit=limit)
        return (await client.ask(Node.VOLUME_EXPAND, request)).capacity  # type: ignore[no-any-return]

    async def test_a_mounted_volume_grows_and_never_shrinks(
        self, drive: str, volume: str, client: Client, pods: Path
    ) -> None:
        await client.stage(volume, pods / "s")

        assert await self.expand(client, pods / "s", 30 * MIB) == 30 * MIB
        assert await self.expand(client, pods / "s", 10 * MIB) == 30 * MIB
        assert await self.expand(client, pods / "s", 0) == 30 * MIB
        assert (await client.held(drive)).volumes[0].record.capacity == 30 * MIB

    async def test_a_drive_is_never_promised_twice(self, drive: str, volume: str, client: Client, pods: Path) -> None:
        await client.stage(volume, pods / "s")
        record = (await client.held(drive)).record
        everything = record.total - record.overhead

        with pytest.raises(OutOfRange):
            await self.expand(client, pods / "s", everything + 1)
        assert await self.expand(client, pods / "s", everything) == everything
        assert await client.prepare(record_of(drive, "pvc-2", 1)) != {}

    async def test_a_path_where_the_volume_is_not_mounted_is_not_found(
        self, volume: str, client: Client, pods: Path
    ) -> None:
        await client.stage(volume, pods / "s")

        for path in (pods, pods / "missing"):
            with pytest.raises(NotFound):
                await self.expand(client, path, 30 * MIB)
            with pytest.raises(NotFound):
                await client.ask(Node.VOLUME_STATS, StatVolume(name=volume, volume_path=str(path)))

    async def test_stats_count_bytes_and_files(self, volume: str, client: Client, pods: Path) -> None:
        await client.stage(volume, pods / "s")
        (pods / "s/dir").mkdir()
        (pods / "s/dir/file").write_bytes(b"x" * MIB)

        stats: VolumeStats = await client.ask(Node.VOLUME_STATS, StatVolume(name=volume, volume_path=str(pods / "s")))

        assert stats.total == 20 * MIB
        assert MIB <= stats.used < 2 * MIB
        assert stats.available == stats.total - stats.used
        assert stats.inodes_used == 3
        assert stats.inodes_total == stats.inodes_used + stats.inodes_free
        assert not stats.abnormal

    async def test_how_full_a_volume_is_is_told_also_while_it_is_mounted_nowhere(
        self, volume: str, drive: str, client: Client, pods: Path
    ) -> None:
        await client.stage(volume, pods / "s")
        (pods / "s/file").write_bytes(b"x" * MIB)
        asked = StatVolume(name=volume, volume_path=str(pods / "s"))
        staged: VolumeStats = await client.ask(Node.VOLUME_STATS, asked)
        await client.unstage(volume, pods / "s")

        usage: VolumeStats = await client.ask(Node.VOLUME_USAGE, GetVolumeUsage(name=volume, fsuuid=drive))

        assert (usage.total, usage.used, usage.inodes_used) == (staged.total, staged.used, staged.inodes_used)
        assert (usage.total, usage.inodes_used) == (20 * MIB, 2)
        for name, where in (("pvc-none", drive), (volume, UNKNOWN)):
            with pytest.raises(NotFound):
                await client.ask(Node.VOLUME_USAGE, GetVolumeUsage(name=name, fsuuid=where))


def record_of(drive: str, name: str, capacity: int) -> VolumeRecord:
    return VolumeRecord(name=name, fsuuid=drive, capacity=capacity)


async def test_a_conflicting_operation_is_told_to_come_back(volume: str, client: Client, pods: Path) -> None:
    outcome = await asyncio.gather(
        *(client.stage(volume, pods / f"s{n % 2}") for n in range(10)), return_exceptions=True
    )

    assert all(result is None or isinstance(result, Busy) for result in outcome)
    assert None in outcome


async def test_a_volume_that_was_staged_once_is_noted_as_used_though_no_pod_is_named(
    volume: str, drive: str, client: Client, pods: Path
) -> None:
    assert not (await client.held(drive)).volumes[0].record.used
    await client.unstage(volume, pods / "s")
    await client.stage(volume, pods / "s")
    assert not (await client.held(drive)).volumes[0].record.used

    await client.unstage(volume, pods / "s")
    held = await client.drive_when(drive, lambda held: held.volumes[0].record.used, "it is noted")

    await client.prepare(replace(held.volumes[0].record, used=False, labels={"x": "y"}))
    assert (await client.held(drive)).volumes[0].record.used


async def test_the_pod_that_mounts_a_volume_is_kept_on_the_drive_and_survives_new_orders(
    volume: str, drive: str, client: Client, pods: Path
) -> None:
    await client.stage(volume, pods / "s")
    await client.publish(volume, pods / "s", pods / "t", pod_name="minio-0", pod_namespace="default", pod_uid="u1")
    held = await client.drive_when(drive, lambda held: held.volumes[0].record.pod_name != "", "the pod is noted")
    record = held.volumes[0].record
    assert (record.pod_name, record.pod_namespace, record.pod_uid, record.used) == ("minio-0", "default", "u1", True)

    labelled = replace(record, labels={"directpv.min.io/tenant": "acme"})
    await client.prepare(replace(labelled, pod_name="", pod_namespace="", pod_uid=""))
    assert (await client.held(drive)).volumes[0].record == labelled
    await client.unpublish(volume, pods / "t")
    await client.unstage(volume, pods / "s")
