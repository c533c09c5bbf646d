"""``recover`` on a running stack: a registry that is lost, and disks of a cluster that is gone."""

import asyncio
import json
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.commands import listing
from directpv_cli.local.csi_client import creation
from directpv_common.protocol import names
from directpv_common.protocol.units import MIB
from directpv_csi_gateway.pb import csi_pb2 as csi
from stack.running import plugin
from support.cluster import Cluster, Pod, cluster, eventually, in_thread

WORDS = "the only copy"
CLAIM = {names.PVC_NAME: "data-0", names.PVC_NAMESPACE: "shop"}
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(nodes=2, drives=1) as stack:
        in_thread(lambda: asyncio.run(stack.initialise()))
        yield stack


@pytest.fixture
async def pod(running: Cluster) -> AsyncIterator[Pod]:
    """A pod on the first node that has written to its volume, and has ended."""
    request = creation(f"pvc-{secrets.token_hex(4)}", 16 * MIB)
    request.parameters.update(CLAIM)
    term = request.accessibility_requirements.requisite.add()
    term.segments[names.NODE] = running.stack.nodes[0].name
    async with running.csi() as client:
        volume = (await client.controller.CreateVolume(request)).volume
        pod = Pod(client, volume, running.stack.directory / "pods")
        await pod.stage()
        (Path(pod.staging) / "data").write_text(WORDS)
        await pod.unstage()
        yield pod


async def recovered(running: Cluster, *argv: str, status: int = 0) -> tuple[dict[tuple[str, str], Any], str]:
    """Run the verb; return its rows by kind and name, and what it says."""
    ended = await plugin(running, "recover", "-o", "json", *argv)
    assert ended.returncode == status, ended.stdout + ended.stderr
    return {(row["kind"], row["name"]): row for row in json.loads(ended.stdout or "[]")}, ended.stderr


async def drives_are(running: Cluster, count: int) -> list[m.DriveInfo]:
    async def look() -> list[m.DriveInfo]:
        async with running.bus() as bus:
            drives = await listing.all_drives(bus, m.ListDrives())
        assert [drive.record.status for drive in drives] == [m.DriveStatus.READY] * count
        return drives

    return await eventually(look, f"{count} drives are ready")


async def has_data(pod: Pod) -> None:
    await pod.stage()
    assert (Path(pod.staging) / "data").read_text() == WORDS
    await pod.unstage()


def lose_registry(running: Cluster) -> None:
    running.kill("controller-1")
    for path in (running.stack.directory / "registry").iterdir():
        path.unlink()


async def test_a_registry_that_is_lost_is_filled_from_the_drives_and_nothing_is_left_to_recover(
    running: Cluster, pod: Pod
) -> None:
    await drives_are(running, 2)
    lose_registry(running)
    running.start("controller-1")
    await drives_are(running, 2)
    rows, said = await recovered(running)
    assert {row["action"] for row in rows.values()} == {"exists"}
    assert ("nothing to recover" in said, "no kubeconfig" in said) == (True, True)
    async with running.bus() as bus:
        (volume,) = await listing.all_volumes(bus, m.ListVolumes(names=(pod.volume.volume_id,)))
    assert (volume.record.pvc_namespace, volume.record.pvc_name) == ("shop", "data-0")
    await has_data(pod)


def say_another_node(running: Cluster, node: str) -> str:
    """Let the disk of the first node's drive say that it is that of a node of another cluster; return the drive."""
    home = running.stack.nodes[0]
    (place,) = Path(home.root, "mnt").iterdir()
    record = place / ".directpv/drive.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "node": node}))
    subprocess.run(["umount", str(place)], check=True, timeout=30)
    return place.name


async def test_disks_of_a_cluster_that_is_gone_are_taken_in_with_their_volumes_and_their_data(
    running: Cluster, pod: Pod
) -> None:
    await drives_are(running, 2)
    lose_registry(running)
    running.kill("nodeagent-node-1")
    fsuuid = say_another_node(running, "old-server")
    running.start("nodeagent-node-1")
    running.start("controller-1")
    await drives_are(running, 1)
    node, device = running.stack.nodes[0].name, running.stack.nodes[0].devices[0]
    drive = ("Drive", f"{node}/{device} {fsuuid}")

    async def reported() -> None:
        assert drive in (await recovered(running, "--dry-run"))[0], "not yet"

    await eventually(reported, "its node has said what its disks carry")
    for _ in range(2):
        rows, said = await recovered(running, "--dry-run")
        assert rows[drive]["action"] == "adopt"
        assert "of node old-server, with" in rows[drive]["detail"]
        assert "nothing was (dry run)" in said
        await drives_are(running, 1)
    other, _ = await recovered(running, running.stack.nodes[1].name)
    assert drive not in other, "only what is named"

    rows, said = await recovered(running, fsuuid[:8])
    assert (rows[drive]["action"], "recovered" in said) == ("adopt", True)
    await drives_are(running, 2)
    await has_data(pod)
    again, said = await recovered(running)
    assert {row["action"] for row in again.values()} == {"exists"}
    assert "nothing to recover" in said


async def test_a_drive_that_was_removed_comes_back_if_it_is_named(running: Cluster) -> None:
    drives = await drives_are(running, 2)
    empty = next(drive for drive in drives if not drive.volumes)
    gone = await plugin(running, "remove", empty.record.fsuuid)
    assert gone.returncode == 0, gone.stdout + gone.stderr
    await drives_are(running, 1)
    title = ("Drive", f"{empty.record.node}/{empty.record.device} {empty.record.fsuuid}")

    async def left() -> None:
        assert (await recovered(running))[0].get(title, {}).get("action") == "left"

    await eventually(left, "its disk is there, and left alone")
    await drives_are(running, 1)
    rows, _ = await recovered(running, empty.record.fsuuid)
    assert rows[title]["action"] == "adopt"
    await drives_are(running, 2)


async def test_a_drive_that_was_given_up_as_lost_with_its_volumes_comes_back_with_them_and_only_if_it_is_named(
    running: Cluster, pod: Pod
) -> None:
    await drives_are(running, 2)
    node = running.stack.nodes[0].name
    async with running.bus() as bus:
        (volume,) = await listing.all_volumes(bus, m.ListVolumes(names=(pod.volume.volume_id,)))
    home = volume.record.fsuuid
    running.kill("nodeagent-node-1")

    async def given_up() -> None:
        gone = await plugin(running, "remove", "node", node, "--dangerous")
        assert gone.returncode == 0, gone.stdout + gone.stderr

    await eventually(given_up, "the node is given up")
    running.start("nodeagent-node-1")

    async def seen() -> None:
        rows, _ = await recovered(running)
        assert [row["action"] for (_, name), row in rows.items() if home in name] == ["left"]

    await eventually(seen, "its disk is there, and left alone")
    await drives_are(running, 1)
    rows, _ = await recovered(running, home)
    assert [row["action"] for row in rows.values()] == ["adopt"]
    await drives_are(running, 2)
    await has_data(pod)


async def volume_of(running: Cluster, name: str) -> m.VolumeInfo | None:
    async with running.bus() as bus:
        found = await listing.all_volumes(bus, m.ListVolumes(deleting=True))
    return next((each for each in found if each.record.name == name), None)


async def test_a_volume_that_was_deleted_while_its_node_was_away_is_not_brought_back_with_its_drive(
    running: Cluster, pod: Pod
) -> None:
    await drives_are(running, 2)
    node, name = running.stack.nodes[0].name, pod.volume.volume_id

    async def unused() -> m.VolumeInfo:
        volume = await volume_of(running, name)
        assert volume is not None
        assert not volume.use.staged
        return volume

    home = (await eventually(unused, "that it was unstaged is known")).record.fsuuid
    running.kill("nodeagent-node-1")
    async with running.csi(node=1) as client:
        await client.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=name))

    async def given_up() -> None:
        gone = await plugin(running, "remove", "node", node, "--dangerous")
        assert gone.returncode == 0, gone.stdout + gone.stderr

    await eventually(given_up, "the node is given up")
    running.kill("controller-1")
    running.start("controller-1")
    running.start("nodeagent-node-1")

    async def named() -> None:
        rows, _ = await recovered(running, home, "--dry-run")
        assert {row["action"] for row in rows.values()} == {"adopt", "left"}, rows
        assert "was deleted" in rows["Volume", name]["detail"]

    await eventually(named, "the plan names it, and leaves it out")
    rows, _ = await recovered(running, home)
    assert rows["Volume", name]["action"] == "left"
    await drives_are(running, 2)

    async def gone() -> None:
        assert await volume_of(running, name) is None

    await eventually(gone, "its data is gone")
    assert not list(Path(running.stack.nodes[0].root, "mnt", home).rglob(name))


async def test_a_word_that_means_nothing_is_said_and_nothing_is_done(running: Cluster) -> None:
    ended = await plugin(running, "recover", "node-9")
    assert ended.returncode == 1
    assert "'node-9' is no node that is known" in ended.stderr
