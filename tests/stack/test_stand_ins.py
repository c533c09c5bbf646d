"""``directpv volume`` and suspended volumes: nobody takes an empty directory for data, and none of them is left."""

import asyncio
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.local import calling, volumes
from directpv_cli.local.csi_client import capability
from directpv_cli.local.lifecycle import start, stop
from directpv_cli.local.machine import disks, places
from directpv_cli.local.stack import Options
from directpv_common.protocol.api import Controller
from directpv_csi_gateway.pb import csi_pb2 as csi
from stack.running import plugin, run_at
from support.cluster import Cluster, cluster, eventually, in_thread

DATA = "what was written"
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(nodes=1, drives=1) as stack:
        in_thread(lambda: asyncio.run(stack.initialise()))
        yield stack


async def done(running: Cluster, *argv: str, program: str = "directpv") -> str:
    """Run a program, which must succeed; return all that it says."""
    ended = await run_at(running, program, *argv)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


async def with_data(running: Cluster, name: str, place: Path) -> None:
    """Make a volume, and write to it where it is mounted; then unmount it."""
    await done(running, "volume", "create", name)
    await done(running, "volume", "mount", name, str(place))
    (place / "file").write_text(DATA)
    await done(running, "volume", "unmount", name)


async def show_stand_in(running: Cluster, name: str, place: Path) -> None:
    """Publish a suspended volume where people had it mounted: as if it was suspended during ``mount``."""
    node = running.stack.nodes[0]
    places.note(running.stack.directory, name, str(place))
    staging = running.stack.directory / "nodes" / node.name / "staging" / name
    staging.parent.mkdir(exist_ok=True)
    how = {"volume_id": name, "volume_capability": capability(), "staging_target_path": str(staging)}
    async with running.csi() as client:
        await client.node.NodeStageVolume(csi.NodeStageVolumeRequest(**how))
        await client.node.NodePublishVolume(csi.NodePublishVolumeRequest(target_path=str(place), **how))
    assert places.shows_stand_in(node.root, str(place))


@pytest.mark.parametrize("what", ["volume", pytest.param("drive", marks=pytest.mark.long)])
async def test_what_is_suspended_is_not_mounted_but_refused_with_what_helps(
    running: Cluster, tmp_path: Path, what: str
) -> None:
    name, place = f"refused-{what}", tmp_path / "place"
    await with_data(running, name, place)
    async with running.bus() as bus:
        fsuuid = (await bus.call(Controller.VOLUME_GET, m.VolumeId(name=name))).record.fsuuid
    which = ["volumes", name] if what == "volume" else ["drives", fsuuid]
    await done(running, "suspend", *which, "--dangerous", program="kubectl-directpv")
    refused = await run_at(running, "directpv", "volume", "mount", name, str(place))
    listed = await done(running, "volume", "list")
    await done(running, "resume", *which, program="kubectl-directpv")

    assert refused.returncode == 1
    assert f"kubectl-directpv resume {' '.join(which)}" in refused.stderr
    assert not place.is_mount()
    (row,) = [line for line in listed.splitlines() if line.startswith(name)]
    assert "Suspended" in row
    await done(running, "volume", "mount", name, str(place))
    assert (place / "file").read_text() == DATA
    await done(running, "volume", "unmount", name)


async def test_a_volume_that_is_suspended_while_it_is_being_mounted_is_not_mounted_empty(
    running: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    await with_data(running, "meanwhile", place)
    await done(running, "suspend", "volumes", "meanwhile", "--dangerous", program="kubectl-directpv")
    monkeypatch.setattr(calling, "suspension", lambda info, drives: "")  # it was not, a moment ago
    with pytest.raises(calling.VolumeError, match="was suspended just now"):
        await asyncio.to_thread(volumes.mount, running.stack, "meanwhile", place)
    assert not place.is_mount()
    await done(running, "resume", "volumes", "meanwhile", program="kubectl-directpv")
    await done(running, "volume", "mount", "meanwhile", str(place))
    assert (place / "file").read_text() == DATA
    await done(running, "volume", "unmount", "meanwhile")


async def test_a_volume_that_is_mounted_when_it_is_suspended_stays_so_and_a_repeat_says_the_same(
    running: Cluster, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    await with_data(running, "stays", place)
    await done(running, "volume", "mount", "stays", str(place))

    async def listed() -> None:
        assert str(place) in await done(running, "volume", "list")

    await eventually(listed, "the controller knows where it is")
    await done(running, "suspend", "volumes", "stays", "--dangerous", program="kubectl-directpv")
    await done(running, "volume", "mount", "stays", str(place))
    assert (place / "file").read_text() == DATA
    await done(running, "volume", "unmount", "stays")
    assert not place.is_mount()
    await done(running, "resume", "volumes", "stays", program="kubectl-directpv")


async def test_what_stands_in_for_a_volume_is_listed_unmounted_and_makes_way_for_its_data(
    running: Cluster, tmp_path: Path
) -> None:
    place, other = tmp_path / "place", tmp_path / "other"
    await with_data(running, "empty", place)
    await done(running, "suspend", "volumes", "empty", "--dangerous", program="kubectl-directpv")
    await show_stand_in(running, "empty", place)
    await show_stand_in(running, "empty", other)

    listed = await done(running, "volume", "list")
    assert f"{place} (empty, while it was suspended)" in listed
    kept = await run_at(running, "directpv", "volume", "rm", "empty")
    assert (kept.returncode, "unmount empty first" in kept.stderr) == (1, True)
    assert "unmounted" in await done(running, "volume", "unmount", "empty")
    assert [place.is_mount(), other.is_mount()] == [False, False]

    await show_stand_in(running, "empty", place)
    await done(running, "resume", "volumes", "empty", program="kubectl-directpv")
    await done(running, "volume", "mount", "empty", str(place))
    assert (place / "file").read_text() == DATA
    await done(running, "volume", "unmount", "empty")
    assert not place.is_mount()


async def test_a_volume_is_not_mounted_where_another_one_is(running: Cluster, tmp_path: Path) -> None:
    place = tmp_path / "place"
    for name in ("first", "second"):
        await done(running, "volume", "create", name)
    await done(running, "volume", "mount", "first", str(place))
    refused = await run_at(running, "directpv", "volume", "mount", "second", str(place))
    assert "unmounted" in await done(running, "volume", "unmount", "first")  # at once: its node need not have told

    assert (refused.returncode, f"{place}: something else is mounted there" in refused.stderr) == (1, True)
    assert not place.is_mount()


def test_down_takes_away_what_stands_in_for_volumes(tmp_path: Path) -> None:
    directory, place = Path(tempfile.gettempdir()) / f"dpv-{secrets.token_hex(4)}", tmp_path / "place"
    running = Cluster(start.up(Options(directory=str(directory), drives=1, nats_port=0)))
    try:
        asyncio.run(running.initialise())
        asyncio.run(_suspended(running, place))
        assert str(place) in disks.mounts_of(directory, [])
    finally:
        stop.down(directory)
        left = place.is_mount()
        if left:
            disks.command("umount", str(place))

    assert not left


async def _suspended(running: Cluster, place: Path) -> None:
    await with_data(running, "down", place)
    assert (await plugin(running, "suspend", "volumes", "down", "--dangerous")).returncode == 0
    await show_stand_in(running, "down", place)


async def test_a_mount_is_known_for_the_volumes_whichever_drive_the_registry_names(
    running: Cluster, tmp_path: Path
) -> None:
    """A registry from a backup names the drive on which the volume was: what is mounted is taken away all the same."""
    root, place, other = running.stack.nodes[0].root, tmp_path / "place", tmp_path / "other"
    other.mkdir()
    for name in ("seen", "beside"):
        await done(running, "volume", "create", name)
    await done(running, "volume", "mount", "seen", str(place))
    assert places.shows_volume(root, "seen", str(place))
    assert not places.shows_volume(root, "beside", str(place))
    assert not places.shows_volume(root, "seen", str(other))
    assert not places.is_ours(root, "00000000-0000-4000-8000-00000000dead", str(place))
    await done(running, "volume", "unmount", "seen")
    assert not places.shows_volume(root, "seen", str(place))
