"""What pods mount on their volumes, and what kubelet mounts of them: files, too."""

import os
from pathlib import Path

import pytest

from directpv_nodeagent.drives.filesystem import xfs
from directpv_nodeagent.linux import files, mounts
from integration.nodeagent.faults import is_ready, shut_down
from integration.nodeagent.harness import AgentProcess, mounts_below, run, unmount, wait_until
from support.node_client import Client


@pytest.fixture
def base(base: Path) -> Path:
    """A directory whose mounts are shared, as kubelet's and ours are in the agent's pod (Bidirectional)."""
    run("mount", "--bind", str(base), str(base))
    run("mount", "--make-rshared", str(base))
    return base


def mount_on(path: Path) -> None:
    """Mount something on a volume, as a pod with ``mountPropagation: Bidirectional`` does."""
    run("mount", "-t", "tmpfs", "-o", "size=1m", "theirs", str(path))
    (path / "of the pod").touch()


async def staged(client: Client, drive: str, name: str, pods: Path) -> Path:
    """Make, stage and publish a volume with a file in it; return its target path."""
    await client.make_volume(drive, name)
    await client.stage(name, pods / f"{name}-s")
    await client.publish(name, pods / f"{name}-s", pods / name)
    (pods / name / "file").write_text(name)
    run("sync", "-f", str(pods / name))
    return pods / name


async def test_what_a_pod_mounts_on_its_volume_reaches_nothing_but_its_own_place_and_goes_with_it(
    agent: AgentProcess, drive: str, client: Client, pods: Path
) -> None:
    target = await staged(client, drive, "pvc-1", pods)
    (target / "sub").mkdir()
    before = mounts_below(agent.root)
    mount_on(target / "sub")
    mount_on(target)

    assert mounts_below(agent.root) == before
    assert mounts_below(pods / "pvc-1-s") == [str(pods / "pvc-1-s")]
    await client.publish("pvc-1", pods / "pvc-1-s", target)  # kubelet repeats it
    assert os.listdir(target) == ["of the pod"]

    await client.unpublish("pvc-1", target)
    await client.unstage("pvc-1", pods / "pvc-1-s")
    assert mounts_below(pods) == []
    assert await client.removed(drive, "pvc-1")


async def test_what_somebody_mounted_on_a_staging_path_is_neither_published_nor_in_the_way(
    drive: str, client: Client, pods: Path
) -> None:
    await client.make_volume(drive, "pvc-1")
    await client.stage("pvc-1", pods / "s")
    (pods / "s/file").write_text("pvc-1")
    mount_on(pods / "s")

    await client.publish("pvc-1", pods / "s", pods / "t")

    assert (pods / "t/file").read_text() == "pvc-1"


async def test_what_is_mounted_on_a_drive_when_its_agent_starts_costs_no_volume(
    agent: AgentProcess, device: str, drive: str, client: Client, pods: Path
) -> None:
    for name in ("pvc-1", "pvc-2"):
        target = await staged(client, drive, name, pods)
    agent.kill()
    mount_on(agent.root / "mnt" / drive / "pvc-1")
    mount_on(target)

    agent.start(device)
    await agent.answers(client)

    await client.drive_when(drive, is_ready, "ready")
    assert mounts_below(agent.root / "mnt") == [str(agent.root / "mnt" / drive)]
    assert os.listdir(target) == ["of the pod"], "what is not on the drive stays"
    for name in ("pvc-1", "pvc-2"):
        await client.publish(name, pods / f"{name}-s", pods / f"{name}-again")
        assert (pods / f"{name}-again/file").read_text() == name


def test_what_is_mounted_on_a_copy_of_a_secluded_mount_does_not_reach_it(base: Path) -> None:
    """As on kernels before 5.12, where a copy is made before it is private."""
    for name in ("drive", "copy"):
        (base / name).mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=1m", "drive", str(base / "drive"))
    (base / "drive/pvc-1").mkdir()
    mount_on(base / "drive/pvc-1")

    xfs.seclude(str(base / "drive"))

    with files.opened(str(base / "drive/pvc-1")) as source:
        mounts.bind_in_two_steps(source, str(base / "copy"), 0)
    mount_on(base / "copy")
    assert mounts_below(base / "drive") == [str(base / "drive")]


def test_a_pod_keeps_what_it_has_mounted_within_what_it_mounted_on_its_volume(base: Path) -> None:
    """As after an upgrade: earlier versions made mounts that hand on to the drive what pods mount on them."""
    for name in ("drive", "pod"):
        (base / name).mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=1m", "drive", str(base / "drive"))
    (base / "drive/pvc-1").mkdir()
    run("mount", "--bind", str(base / "drive/pvc-1"), str(base / "pod"))
    for place in ("sub", "sub/nested"):
        (base / "pod" / place).mkdir()
        mount_on(base / "pod" / place)
    theirs = mounts_below(base / "pod")
    assert str(base / "drive/pvc-1/sub/nested") in mounts_below(base / "drive"), "it is handed on"

    xfs.seclude(str(base / "drive"))

    assert mounts_below(base / "drive") == [str(base / "drive")]
    assert mounts_below(base / "pod") == theirs


async def test_a_directory_that_cannot_be_read_costs_its_volume_and_no_other(
    agent: AgentProcess, device: str, drive: str, client: Client, pods: Path
) -> None:
    for name in ("pvc-1", "pvc-2"):
        await client.make_volume(drive, name)
    inode = (agent.root / "mnt" / drive / "pvc-1").stat().st_ino
    agent.kill()
    unmount(agent.root / "mnt" / drive)
    run("xfs_db", "-x", "-c", f"inode {inode}", "-c", "write -d core.magic 0", f"/dev/{device}")

    agent.start(device)
    await agent.answers(client)

    await client.drive_when(drive, is_ready, "ready")
    await client.stage("pvc-2", pods / "s2")
    with pytest.raises(Exception, match=r"pvc-1 cannot be read.*repair"):
        await client.stage("pvc-1", pods / "s1")
    assert is_ready(await client.held(drive))


async def test_a_file_of_a_volume_that_kubelet_has_mounted_is_renewed_like_all_other_places(
    agent: AgentProcess, drive: str, client: Client, pods: Path
) -> None:
    for name in ("pvc-1", "pvc-2"):
        await staged(client, drive, name, pods)
    (pods / "subpath").touch()
    run("mount", "--bind", str(pods / "pvc-1/file"), str(pods / "subpath"))

    shut_down(agent.root / "mnt" / drive, flush_log=True)
    wait_until(lambda: '"kind":"error"' in agent.log_text(), "its failure is noticed, however soon it is over")
    await client.drive_when(drive, is_ready, "ready again")

    assert [(pods / name / "file").read_text() for name in ("pvc-1", "pvc-2")] == ["pvc-1", "pvc-2"]
    assert (pods / "subpath").read_text() == "pvc-1"
    assert mounts_below(pods / "subpath") == [str(pods / "subpath")]
    assert not agent.log_text().count("not renewed")


@pytest.mark.parametrize(
    "what", ["pvc-0.deleted", ".directpv/.ballast", ".directpv/held", ".directpv/volumes/pvc-2.json"]
)
async def test_what_cannot_be_read_beside_the_volumes_costs_none_of_them(
    agent: AgentProcess, device: str, drive: str, client: Client, pods: Path, what: str
) -> None:
    for name in ("pvc-1", "pvc-2"):
        await client.make_volume(drive, name)
    root = agent.root / "mnt" / drive
    if not (root / what).exists():
        (root / what).mkdir()
    inode = (root / what).stat().st_ino
    agent.kill()
    unmount(root)
    run("xfs_db", "-x", "-c", f"inode {inode}", "-c", "write -d core.format 7", f"/dev/{device}")

    agent.start(device)
    await agent.answers(client)

    await client.drive_when(drive, is_ready, "ready")
    await client.stage("pvc-1", pods / "s1")
    assert is_ready(await client.held(drive))
