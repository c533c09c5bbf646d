"""Which mounts that others took away are put back: those of pods that run, with their flags, and nobody else's."""

import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from directpv_common.protocol.messages import DriveRecord, VolumeRecord
from directpv_nodeagent.drives.filesystem import xfs
from directpv_nodeagent.layout import volume_dirs
from directpv_nodeagent.layout.contents import read_contents
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.layout import drive_path
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.layout.drive_dir import open_drive
from directpv_nodeagent.linux import mounts
from integration.nodeagent.harness import AgentProcess, Loops, mounts_below, run, wait_until
from support.node_client import MIB, Client, eventually

GROUPS = ("/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")


@pytest.fixture
def pod() -> Iterator[Callable[[], str]]:
    """Start a pod as far as control groups tell: one process in a group of its name; return its id."""
    running: list[tuple[Path, subprocess.Popen[bytes]]] = []

    def start() -> str:
        uid = str(uuid.uuid4())
        above = next(Path(group) for group in GROUPS if Path(group, "cgroup.procs").exists())
        group = above / f"directpv-test-pod{uid.replace('-', '_')}.slice"
        group.mkdir()
        process = subprocess.Popen(("sleep", "600"))
        running.append((group, process))
        (group / "cgroup.procs").write_text(str(process.pid))
        return uid

    try:
        yield start
    finally:
        for group, process in running:
            process.kill()
            process.wait(20)
            wait_until(lambda group=group: group.rmdir() is None, f"{group} is gone")  # type: ignore[misc]


def target_of(pods: Path, pod: str) -> Path:
    """The target path of pvc-1 in a pod, as kubelet names it; its parent is there."""
    path = pods / "pods" / pod / "volumes/kubernetes.io~csi/pvc-1/mount"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
async def staged(drive: str, client: Client, pods: Path) -> str:
    """The drive of pvc-1, which is staged, and of pvc-2, which others will unmount to see that the agent looked."""
    for name in ("pvc-1", "pvc-2"):
        await client.make_volume(drive, name)
        await client.stage(name, pods / name)
    return drive


async def has_looked(client: Client, fsuuid: str, pods: Path) -> None:
    """Wait until the agent has looked for missing mounts after this call."""
    run("umount", str(pods / "pvc-2"))

    async def gone() -> bool:
        (volume,) = [v for v in (await client.held(fsuuid)).volumes if v.record.name == "pvc-2"]
        return volume.use.staged == ""

    await eventually(gone, "the staging mount is known to be gone")


async def used(client: Client, fsuuid: str) -> tuple[str, ...]:
    (volume,) = [v for v in (await client.held(fsuuid)).volumes if v.record.name == "pvc-1"]
    return volume.use.published


async def test_a_mount_that_others_made_stays_away_when_they_take_it(
    agent: AgentProcess, staged: str, client: Client, pods: Path
) -> None:
    await client.publish("pvc-1", pods / "pvc-1", pods / "t")
    backup = pods / "backup"
    backup.mkdir()
    run("mount", "--bind", str(pods / "t"), str(backup))

    async def seen() -> bool:
        return str(backup) in await used(client, staged)

    await eventually(seen, "the agent has seen it")
    run("umount", str(backup))
    await has_looked(client, staged, pods)

    async def forgotten() -> bool:
        return await used(client, staged) == (str(pods / "t"),)

    await eventually(forgotten, "it does not count as used any more")
    assert str(backup) not in mounts_below(pods)


async def test_a_staging_mount_that_people_took_away_stays_away_until_the_next_publish(
    agent: AgentProcess, staged: str, client: Client, pods: Path
) -> None:
    (pods / "pvc-2/precious").write_text("x")
    await has_looked(client, staged, pods)
    assert str(pods / "pvc-2") not in mounts_below(pods)
    run("rm", "-rf", str(pods / "pvc-2"))  # as who clears away what a kubelet left behind

    (pods / "pvc-2").mkdir()
    await client.publish("pvc-2", pods / "pvc-2", pods / "t2")
    assert (pods / "t2/precious").read_text() == "x"


@pytest.mark.parametrize("runs", [True, False], ids=["running", "ended"])
async def test_a_target_is_put_back_while_something_of_its_pod_runs(
    runs: bool, agent: AgentProcess, staged: str, client: Client, pods: Path, pod: Callable[[], str]
) -> None:
    other, own = pod(), pod() if runs else str(uuid.uuid4())
    target = target_of(pods, own)
    await client.publish("pvc-1", pods / "pvc-1", target)
    assert other != own
    (target / "precious").write_text("x")
    run("umount", str(target))
    await has_looked(client, staged, pods)

    async def decided() -> bool:
        return (str(target) in mounts_below(pods)) or await used(client, staged) == ()

    await eventually(decided, "it is put back or given up")
    assert (str(target) in mounts_below(pods)) is runs
    if not runs:
        run("rm", "-rf", str(pods / "pods" / own))
    assert (pods / "pvc-1/precious").read_text() == "x"


def test_an_agent_that_has_just_started_knows_with_which_flags_kubelet_had_volumes_mounted(
    base: Path, loops: Loops, pods: Path
) -> None:
    device, root = loops.make(), str(base / "root")
    xfs.prepare_root(root)
    run("mkfs.xfs", "-q", f"/dev/{device}")
    fsuuid = run("blkid", "-p", "-s", "UUID", "-o", "value", f"/dev/{device}")
    path, target = drive_path(root, fsuuid), target_of(pods, str(uuid.uuid4()))
    xfs.mount_drive(f"/dev/{device}", path, fsuuid, quota_required=False)
    with open_drive(path, fsuuid, proven=False) as drive:
        drive.write_layout()
        view = DriveView(root, fsuuid, drive.device, device, enforced=False)
        volume = VolumeRecord(name="pvc-1", fsuuid=fsuuid, capacity=20 * MIB)
        assert isinstance(volume_dirs.prepare(view, [volume], {}, frozenset())["pvc-1"], int)
        target.mkdir()
        for place in (target, pods):
            with drive.volume("pvc-1") as directory:
                mounts.bind(directory, str(place), frozenset({"ro"}))
        record = DriveRecord(fsuuid=fsuuid, node="n1", total=600 * MIB, overhead=0)
        found = Drive(read_contents(view, drive, record, mounts.own_mounts(), {}))
    assert found.flags.keys() == {str(target)}, "what others mounted is theirs"
    assert "ro" in found.flags[str(target)]
