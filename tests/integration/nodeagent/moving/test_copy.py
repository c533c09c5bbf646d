"""What arrives on the other drive, and what is done to the two drives on the way."""

import mmap
import os
import shutil
import stat
from pathlib import Path

import pytest

from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import Busy, DirectPVError, FailedPrecondition
from directpv_common.protocol.messages import MoveState, StageVolume
from directpv_common.protocol.names import project_id
from directpv_nodeagent.linux import quota
from integration.nodeagent.harness import run
from integration.nodeagent.moving.moving import INCARNATION, MIB, Leader, snapshot
from support.node_client import Client


def fill(top: Path) -> None:
    """Put one of everything into a volume."""
    (top / "deep/er").mkdir(parents=True)
    (top / "deep/er/file").write_bytes(os.urandom(3 * MIB + 5))
    (top / "empty").touch(0o600)
    (top / "gone/deep").mkdir(parents=True)
    (top / "gone/deep/file").write_text("for a while")
    (top / "two\nlines \x01").write_text("odd")
    os.chown(top / "empty", 1234, 5678)
    os.chmod(top / "deep", 0o2751)
    os.link(top / "deep/er/file", top / "same")
    (top / "away").symlink_to("/etc/shadow")
    os.lchown(top / "away", 77, 78)
    (top / "up").symlink_to("deep/er")
    os.mkfifo(top / "pipe", 0o640)
    os.mknod(top / "null", 0o620 | stat.S_IFCHR, os.makedev(1, 3))
    with open(top / "holes", "wb") as file:
        file.truncate(64 * MIB)
        file.seek(40 * MIB)
        file.write(b"data")
    os.setxattr(top / "same", "user.colour", b"blue\0green")
    os.setxattr(top / "deep", "trusted.of-root", b"1")
    run("setfacl", "-m", "u:4242:rwx,d:g:4343:rx", str(top / "deep"))
    run("setfacl", "-m", "u:4242:r", str(top / "two\nlines \x01"))
    os.utime(top / "empty", ns=(1, 1_000_000_123))
    os.utime(top / "deep", ns=(1, 2_000_000_456))
    os.chown(top, 999, 998)
    os.chmod(top, 0o2770)


async def test_all_that_files_have_arrives(leader: Leader) -> None:
    top = await leader.make()
    fill(top)
    before = snapshot(top)

    await leader.copied()
    await leader.flip()

    assert snapshot(leader.path(leader.new)) == before
    assert (leader.path(leader.new) / "holes").stat().st_blocks < 100
    assert not leader.copy.exists()


async def test_all_that_arrives_counts_towards_the_volumes_project(leader: Leader) -> None:
    top = await leader.make()
    fill(top)
    await leader.copied()
    await leader.flip()

    moved = leader.path(leader.new)
    for path in (moved, moved / "deep", moved / "deep/er/file", moved / "holes"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            found = quota.attributes(descriptor)
        finally:
            os.close(descriptor)
        assert found.project == project_id("pvc-1"), path
        assert path.is_file() or found.belongs_to(project_id("pvc-1")), path


async def test_a_pod_that_goes_on_writing_finds_all_of_it_on_the_other_drive(leader: Leader, pods: Path) -> None:
    await leader.make()
    staging = pods / "s"
    await leader.client.stage("pvc-1", staging)
    fill(staging)
    await leader.waiting()
    (staging / "deep/er/file").write_bytes(os.urandom(2 * MIB))
    (staging / "new").write_text("came later")
    (staging / "empty").unlink()
    shutil.rmtree(staging / "gone")
    os.rename(staging / "holes", staging / "deep/holes")
    assert (await leader.order()).state is not MoveState.COPIED
    before = snapshot(staging)
    await leader.client.unstage("pvc-1", staging)

    await leader.copied()
    await leader.flip()
    await leader.client.stage("pvc-1", staging, incarnation=INCARNATION, fsuuid=leader.old)

    assert snapshot(staging) == before
    assert os.stat(staging).st_dev == os.stat(leader.path(leader.new)).st_dev


async def test_what_waits_for_its_pod_has_looked_at_all_there_is_however_little_was_copied_last(
    leader: Leader, pods: Path
) -> None:
    await leader.make()
    await leader.client.stage("pvc-1", pods / "s")
    (pods / "s" / "file").write_bytes(bytes(MIB))
    seen = await leader.waiting()
    seen = await leader.until(lambda now: now.state is MoveState.WAITING and now.passes > seen.passes, "another pass")
    assert seen.done == seen.total >= MIB


async def test_what_was_written_through_a_mapping_or_with_its_time_set_back_arrives(leader: Leader, pods: Path) -> None:
    await leader.make()
    staging = pods / "s"
    await leader.client.stage("pvc-1", staging)
    (staging / "mapped").write_bytes(bytes(MIB))
    (staging / "back").write_bytes(bytes(MIB))
    with open(staging / "mapped", "r+b") as file, mmap.mmap(file.fileno(), MIB) as mapped:
        mapped[0] = 1
        await leader.waiting()
        for name, write in (("mapped", None), ("back", b"x" * MIB)):
            times = (staging / name).stat()
            if write is None:
                mapped[5000] = 2
                mapped.flush()
            else:
                (staging / name).write_bytes(write)
            os.utime(staging / name, ns=(times.st_atime_ns, times.st_mtime_ns))
    await leader.client.unstage("pvc-1", staging)

    await leader.copied()

    assert (leader.copy / "mapped").read_bytes()[5000] == 2
    assert (leader.copy / "back").read_bytes() == b"x" * MIB


async def test_links_that_were_parted_since_are_parted_in_the_copy(leader: Leader, pods: Path) -> None:
    await leader.make()
    staging = pods / "s"
    await leader.client.stage("pvc-1", staging)
    (staging / "a").write_text("one")
    os.link(staging / "a", staging / "b")
    await leader.waiting()
    times = (staging / "a").stat()
    (staging / "b").unlink()
    (staging / "b").write_text("two")
    os.utime(staging / "b", ns=(times.st_atime_ns, times.st_mtime_ns))
    before = snapshot(staging)
    await leader.client.unstage("pvc-1", staging)

    await leader.copied()

    assert snapshot(leader.copy) == before


async def test_a_copied_volume_is_served_from_neither_drive_until_the_registry_has_decided(
    leader: Leader, pods: Path
) -> None:
    await leader.make()
    await leader.copied()

    with pytest.raises(Busy, match="repeat"):
        await leader.client.bus.call(
            Node.VOLUME_STAGE, StageVolume(name="pvc-1", staging_path=str(pods / "s")), node="n1", within=5,
            patient=False,
        )  # fmt: skip

    assert not (pods / "s").exists()


async def test_an_order_to_prepare_the_source_does_not_lift_its_seal(leader: Leader) -> None:
    await leader.make()
    await leader.copied()

    await leader.client.prepare(leader.record)

    held = await leader.client.held(leader.old)
    assert [volume.stray_of for volume in held.volumes] == [leader.new]


async def test_a_cancelled_move_leaves_the_source_as_it_was_and_nothing_on_the_other_drive(
    leader: Leader, pods: Path
) -> None:
    top = await leader.make()
    fill(top)
    before = snapshot(top)
    await leader.copied()

    await leader.cancelled()

    assert not leader.copy.exists()
    await leader.client.stage("pvc-1", pods / "s", incarnation=INCARNATION)
    assert snapshot(pods / "s") == before


async def test_a_move_is_cancelled_while_it_copies(leader: Leader) -> None:
    top = await leader.make()
    (top / "large").write_bytes(os.urandom(32 * MIB))
    status = await leader.until(lambda each: each.done > 0, "it copies", limit=4 * MIB)
    assert status.state is MoveState.COPYING
    assert status.total >= 32 * MIB

    await leader.cancelled()

    assert not leader.copy.exists()
    assert (top / "large").stat().st_size == 32 * MIB


async def test_another_limit_counts_at_once_and_the_pass_goes_on_where_it_was(leader: Leader) -> None:
    top = await leader.make()
    (top / "large").write_bytes(os.urandom(64 * MIB))
    slow = 256 * 1024
    status = await leader.until(lambda each: each.done > 0, "it copies, for minutes", limit=slow)
    assert (status.state, status.passes) == (MoveState.COPYING, 1)

    status = await leader.until(lambda each: each.state is not MoveState.COPYING, "the pass ends", limit=0)

    assert status.passes <= 2
    await leader.copied()
    assert (leader.copy / "large").read_bytes() == (top / "large").read_bytes()


async def test_the_source_goes_only_by_the_move_that_sealed_it_and_while_the_other_drive_has_the_volume(
    leader: Leader,
) -> None:
    top = await leader.make()
    (top / "file").write_text("kept")
    await leader.copied()
    with pytest.raises(FailedPrecondition, match="its former data is kept"):
        await leader.retire()
    await leader.flip()
    mine, leader.id = leader.id, "0" * 16
    with pytest.raises(FailedPrecondition, match="was not moved away"):
        await leader.retire()
    assert (top / "file").read_text() == "kept"
    leader.id = mine

    await leader.retired()

    assert not top.exists()
    assert (leader.path(leader.new) / "file").read_text() == "kept"


async def test_where_a_volume_was_moved_from_it_is_never_made_anew(leader: Leader, pods: Path) -> None:
    await leader.make()
    await leader.copied()
    moved = await leader.flip()
    await leader.retired()
    await leader.client.removed(leader.new, "pvc-1", INCARNATION)  # as if that drive had gone

    with pytest.raises(DirectPVError, match=f"was moved from drive {leader.old} to drive {leader.new}"):
        await leader.client.stage(
            "pvc-1", pods / "s", incarnation=INCARNATION, fsuuid=leader.old, capacity=moved.capacity
        )

    assert not leader.path(leader.old).exists()


async def test_a_volume_context_that_names_the_former_drive_finds_a_volume_without_incarnation(
    leader: Leader, pods: Path
) -> None:
    await leader.make()
    await leader.copied()
    await leader.flip()
    await leader.retired()

    await leader.client.stage("pvc-1", pods / "s", fsuuid=leader.old)

    assert os.stat(pods / "s").st_dev == os.stat(leader.path(leader.new)).st_dev


async def test_a_volume_moves_back(leader: Leader) -> None:
    top = await leader.make()
    (top / "file").write_text("kept")
    await leader.copied()
    moved = await leader.flip()
    await leader.retired()
    back = Leader(leader.client, leader.agent, leader.new, leader.old)
    back.record = moved

    await back.copied()
    await back.flip()
    await back.retired()

    assert (top / "file").read_text() == "kept"
    assert not leader.path(leader.new).exists()


async def test_a_move_leaves_nothing_of_itself_so_that_the_next_one_begins_as_the_first_did(
    leader: Leader, client: Client, pods: Path
) -> None:
    """What says that a copy is complete says it of that copy, and not of the next, which rsync makes of it."""
    top = await leader.make()
    (top / "file").write_text("kept")
    await leader.copied()
    moved = await leader.flip()
    await leader.retired()
    assert "trusted.directpv.copied" not in os.listxattr(leader.path(leader.new))
    assert os.listdir(leader.copy.parent) == []

    left = f"{leader.id} {INCARNATION}".encode()
    os.setxattr(leader.path(leader.new), "trusted.directpv.copied", left)  # by a version that did not remove it
    await client.stage("pvc-1", pods / "s", incarnation=INCARNATION)
    back = Leader(client, leader.agent, leader.new, leader.old)
    back.record = moved
    await back.waiting()
    (copy,) = (await client.held(leader.old)).copies
    assert (copy.name, copy.move) == ("pvc-1", ""), "it is not complete"
    await back.cancelled()

    assert (os.listdir(back.copy.parent), (await client.held(leader.old)).copies) == ([], ())
    assert (pods / "s/file").read_text() == "kept"


async def test_a_link_that_leads_out_of_the_volume_is_never_followed(leader: Leader, base: Path) -> None:
    """A pod puts a link in the place of a directory, after rsync has listed what is in it."""
    secret = base / "secret"
    secret.mkdir()
    (secret / "file").write_text("the host's")
    top = await leader.make()
    (top / "a").write_bytes(os.urandom(16 * MIB))
    (top / "d").mkdir()
    (top / "d/file").write_text("the pod's.")
    await leader.until(lambda each: each.done > 0, "it copies what comes before", limit=4 * MIB)

    os.rename(top / "d", top / "e")
    (top / "d").symlink_to(secret)

    await leader.copied(limit=4 * MIB)
    found = [path.read_text() for path in leader.copy.rglob("file") if path.is_file()]
    assert found == ["the pod's."]
    assert os.readlink(leader.copy / "d") == str(secret)


async def test_a_pod_that_starts_during_the_last_pass_is_told_to_repeat(leader: Leader, pods: Path) -> None:
    top = await leader.make()
    (top / "large").write_bytes(os.urandom(32 * MIB))
    await leader.client.stage("pvc-1", pods / "s")
    await leader.waiting()
    (pods / "s/large").write_bytes(os.urandom(32 * MIB))
    await leader.order(limit=4 * MIB)
    await leader.client.unstage("pvc-1", pods / "s")
    await leader.until(lambda each: each.state is MoveState.LAST_PASS, "the last pass", limit=4 * MIB)

    with pytest.raises(Busy, match="move is running on it; repeat stage"):
        await leader.client.bus.call(
            Node.VOLUME_STAGE, StageVolume(name="pvc-1", staging_path=str(pods / "s")), node="n1", within=5,
            patient=False,
        )  # fmt: skip

    await leader.copied()
