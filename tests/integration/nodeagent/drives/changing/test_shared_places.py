"""An agent whose directories are bind mounts of a shared file system: what it mounts is seen a second time there.

These twins come and go with what the agent mounts. Nobody uses them, and nobody must be sent to unmount them.
"""

from pathlib import Path

import pytest

from directpv_common.protocol.errors import FailedPrecondition
from directpv_common.protocol.messages import DriveStatus, RepairOutcome, VolumeUse
from integration.nodeagent.drives.changing.test_release import release
from integration.nodeagent.faults import is_ready, shut_down
from integration.nodeagent.harness import AgentProcess, mounts_below, run
from integration.nodeagent.orders import path_of
from integration.nodeagent.repairing import repaired, told
from support.node_client import Client, eventually


@pytest.fixture
def whole(base: Path) -> Path:
    """The shared file system."""
    return base / "whole"


@pytest.fixture
def pods(base: Path) -> Path:
    """Where staging and target paths are."""
    return base / "kubelet"


@pytest.fixture
def agent(agent: AgentProcess, pods: Path, whole: Path) -> AgentProcess:
    """An agent whose root, and whose pods, are bind mounts of directories of the shared file system."""
    (whole / "root").mkdir(parents=True)
    run("mount", "--bind", str(whole), str(whole))
    run("mount", "--make-shared", str(whole))
    for name, seen in (("root", agent.root), ("pods", pods)):
        (whole / name).mkdir(exist_ok=True)
        seen.mkdir(exist_ok=True)
        run("mount", "--bind", str(whole / name), str(seen))
    return agent


def twins(whole: Path) -> list[str]:
    """Return what is mounted below the shared file system."""
    return sorted(set(mounts_below(whole)) - {str(whole)})


async def use_of(client: Client, drive: str, name: str) -> VolumeUse:
    (volume,) = [volume for volume in (await client.held(drive)).volumes if volume.record.name == name]
    return volume.use


async def has_looked(client: Client, drive: str, staging: Path) -> None:
    """Wait until the agent has compared what is mounted with what it knows: staging path of a volume pvc-seen."""
    run("umount", str(staging))

    async def gone() -> bool:
        return (await use_of(client, drive, "pvc-seen")).staged == ""

    await eventually(gone, "the staging mount is known to be gone")


async def test_a_drive_that_is_mounted_twice_by_propagation_alone_is_given_up_from_both_places(
    agent: AgentProcess, device: str, drive: str, client: Client, whole: Path
) -> None:
    assert f"{whole}/root/mnt/{drive}" in twins(whole)

    reply = await release(client, drive)

    assert (reply.released, reply.noted) == (True, True)
    assert drive not in str(mounts_below(whole) + mounts_below(agent.root))


async def test_who_has_files_open_by_way_of_a_twin_keeps_the_drive_which_serves_on(
    agent: AgentProcess, drive: str, client: Client, whole: Path, pods: Path
) -> None:
    file = whole / "root/mnt" / drive / ".directpv/meta.info"
    with file.open("rb"), pytest.raises(FailedPrecondition, match="busy"):
        await release(client, drive)

    held = await client.drive_when(drive, lambda held: held.readable, "the drive is read again")
    assert held.record.status is DriveStatus.READY
    await client.make_volume(drive, "pvc-1")
    await client.stage("pvc-1", pods / "s")


async def test_a_mount_that_somebody_made_of_the_drive_is_named_and_its_twins_are_not(
    agent: AgentProcess, drive: str, client: Client, base: Path, whole: Path
) -> None:
    (base / "theirs").mkdir()
    run("mount", "--bind", str(path_of(agent, drive)), str(base / "theirs"))

    with pytest.raises(FailedPrecondition, match="unmount that") as refused:
        await release(client, drive)

    assert str(base / "theirs") in refused.value.message
    assert str(whole) not in refused.value.message
    run("umount", str(base / "theirs"))  # as it says
    assert str(path_of(agent, drive)) in mounts_below(agent.root)
    assert (await release(client, drive)).released


async def test_a_drive_that_is_mounted_twice_by_propagation_alone_is_repaired(
    agent: AgentProcess, drive: str, client: Client, whole: Path
) -> None:
    assert f"{whole}/root/mnt/{drive}" in twins(whole)

    assert (await repaired(client, drive, dry_run=True)).outcome == RepairOutcome.CLEAN

    await client.drive_when(drive, lambda held: held.readable, "the drive is mounted again")


async def test_where_a_volume_is_mounted_is_said_without_twins_and_it_is_free_as_soon_as_it_is_unstaged(
    agent: AgentProcess, device: str, drive: str, client: Client, pods: Path, whole: Path
) -> None:
    staging, target = pods / "globalmount", pods / "volumes/kubernetes.io~csi/pvc-1/mount"
    target.parent.mkdir(parents=True)
    await client.make_volume(drive, "pvc-1")
    await client.make_volume(drive, "pvc-seen")
    await client.stage("pvc-1", staging)
    await client.publish("pvc-1", staging, target, single_writer=True)
    await client.stage("pvc-seen", pods / "seen")
    assert f"{whole}/pods/globalmount" in twins(whole)
    wanted = VolumeUse(staged=str(staging), published=(str(target),))
    await has_looked(client, drive, pods / "seen")
    assert await use_of(client, drive, "pvc-1") == wanted

    agent.kill()
    agent.start(device)
    await agent.answers(client)

    await client.drive_when(drive, lambda held: held.readable, "the drive is read again")
    assert await use_of(client, drive, "pvc-1") == wanted
    events = await told(client.bus)
    await client.unpublish("pvc-1", target)
    await client.publish("pvc-1", staging, pods / "another", single_writer=True)
    await client.unpublish("pvc-1", pods / "another")
    await client.unstage("pvc-1", staging)
    assert await use_of(client, drive, "pvc-1") == VolumeUse()
    assert twins(whole) == [f"{whole}/root/mnt/{drive}", f"{whole}/root/tmp"]
    await client.stage("pvc-seen", pods / "seen")
    await has_looked(client, drive, pods / "seen")
    assert {event.data["path"] for event in events if event.type.endswith("volume.unmounted")} <= {str(pods / "seen")}
    assert await client.removed(drive, "pvc-1")


async def test_after_a_failure_each_place_and_its_twin_show_the_drive_once_and_well(
    agent: AgentProcess, drive: str, client: Client, pods: Path, whole: Path
) -> None:
    await client.make_volume(drive, "pvc-1")
    await client.stage("pvc-1", pods / "globalmount")
    await client.publish("pvc-1", pods / "globalmount", pods / "mount")
    (pods / "mount/file").write_text("pvc-1")
    run("sync", "-f", str(pods / "mount"))
    before = twins(whole)
    shut_down(path_of(agent, drive))

    async def reads() -> bool:
        try:
            return (pods / "mount/file").read_text() == "pvc-1"
        except OSError:
            return False

    await eventually(reads, "the pod reads again")
    await client.drive_when(drive, is_ready, "the drive is well again")

    assert sorted(mounts_below(whole / "root") + mounts_below(whole / "pods")) == before
    assert (whole / "pods/mount/file").read_text() == "pvc-1"
    await client.unpublish("pvc-1", pods / "mount")
    await client.unstage("pvc-1", pods / "globalmount")
    assert sorted(mounts_below(pods)) == [str(pods)]
    assert await client.removed(drive, "pvc-1")
    assert (await release(client, drive)).released
