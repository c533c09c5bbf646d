"""Stage, publish, unpublish and unstage through the real agent, over the bus, on a real XFS; no controller anywhere."""

import asyncio
import errno
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import Busy, Conflict, FailedPrecondition, NotFound
from directpv_common.protocol.messages import ExpandNodeVolume, StatVolume
from directpv_common.protocol.names import SUSPEND
from integration.nodeagent.harness import mounts_below
from support.node_client import Client


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
