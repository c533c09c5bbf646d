"""``suspend`` and ``resume`` against a running stack: what people type, and what pods find."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.commands import listing
from directpv_cli.local.csi_client import CsiClient, creation
from directpv_common.protocol import names
from directpv_common.protocol.units import MIB
from stack.running import plugin
from support.cluster import Cluster, Pod, cluster, eventually, in_thread

DATA = "what was written"
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(nodes=1, drives=2) as stack:
        in_thread(lambda: asyncio.run(stack.initialise()))
        yield stack


@pytest.fixture
async def client(running: Cluster) -> AsyncIterator[CsiClient]:
    async with running.csi() as connected:
        yield connected


async def done(running: Cluster, *argv: str) -> str:
    """Run the plugin, which must succeed; return what it says."""
    ended = await plugin(running, *argv)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stderr


async def new_pod(running: Cluster, client: CsiClient, name: str, user: str = "") -> Pod:
    """Create a volume and start a pod that has written to it."""
    volume = (await client.controller.CreateVolume(creation(name, 16 * MIB))).volume
    if user:
        volume.volume_context.update({names.CONTEXT_POD_NAME: user, names.CONTEXT_POD_NAMESPACE: "shop"})
    pod = Pod(client, volume, running.stack.directory / "pods")
    await start(pod)
    Path(pod.target, "file").write_text(DATA)
    return pod


async def start(pod: Pod) -> None:
    await pod.stage()
    await pod.publish()


async def restart(pod: Pod) -> None:
    await pod.unpublish()
    await pod.unstage()
    await start(pod)


def sees_data(pod: Pod) -> bool:
    return [entry.read_text() for entry in Path(pod.target).iterdir()] == [DATA]


def sees_nothing(pod: Pod) -> bool:
    """Tell whether the pod finds an empty directory that it cannot write to."""
    with pytest.raises(OSError, match="Read-only"):
        Path(pod.target, "new").touch()
    return not any(Path(pod.target).iterdir())


async def test_a_suspended_drive_gives_restarted_pods_an_empty_directory_and_resumed_their_data(running, client):
    pod = await new_pod(running, client, "pvc-drive")
    drive = pod.volume.volume_context[names.DRIVE]

    assert "restart" in await done(running, "suspend", "drives", drive, "--dangerous")
    listed = await plugin(running, "list", "drives", drive)
    assert "Suspended" in listed.stdout
    assert sees_data(pod)
    await restart(pod)
    assert sees_nothing(pod)

    await done(running, "resume", "drives", drive)
    assert sees_nothing(pod)
    await restart(pod)
    assert sees_data(pod)


async def test_a_suspended_volume_costs_no_other_of_its_drive(running, client):
    pods = [await new_pod(running, client, f"pvc-other-{number}") for number in range(3)]
    one = pods[0]

    said = await done(running, "suspend", "volumes", one.volume.volume_id, "--dangerous")
    assert "Volume pvc-other-0 suspended" in said
    for pod in pods:
        await restart(pod)
    assert [sees_data(pod) for pod in pods[1:]] == [True, True]
    assert sees_nothing(one)

    await done(running, "resume", "volumes", one.volume.volume_id)
    await restart(one)
    assert sees_data(one)


async def test_what_is_suspended_stays_so_on_a_node_that_restarts_without_a_controller(running, client):
    pod = await new_pod(running, client, "pvc-alone")
    await done(running, "suspend", "volumes", "pvc-alone", "--dangerous")
    running.kill("controller-1")
    running.kill("nodeagent-node-1")
    running.start("nodeagent-node-1")
    try:
        await eventually(lambda: restart(pod), "the agent serves again")
        assert sees_nothing(pod)
    finally:
        running.start("controller-1")
    await eventually(lambda: done(running, "resume", "volumes", "pvc-alone"), "a controller leads")
    await restart(pod)
    assert sees_data(pod)


async def test_volumes_are_selected_by_their_pods(running, client):
    mine = await new_pod(running, client, "pvc-mine", user="minio-0")
    theirs = await new_pod(running, client, "pvc-theirs", user="minio-1")

    async def suspended() -> str:
        return await done(running, "suspend", "volumes", "--pod-names", "minio-{0...0}", "--dangerous")

    said = await eventually(suspended, "the controller knows the pods")

    assert ("pvc-mine" in said, "pvc-theirs" in said) == (True, False)
    await restart(mine)
    await restart(theirs)
    assert sees_nothing(mine)
    assert sees_data(theirs)
    await done(running, "resume", "volumes", "--pod-namespaces", "shop")


async def test_a_dry_run_changes_nothing_and_a_repeat_says_that_it_is_so(running, client):
    before = await labels(running)

    assert "(dry run)" in await done(running, "suspend", "drives", "-n", "node-1", "--dangerous", "--dry-run")
    assert await labels(running) == before

    assert (await done(running, "suspend", "drives", "-n", "node-1", "--dangerous")).count("suspended") == 2
    again = await done(running, "suspend", "drives", "-n", "node-1", "--dangerous")
    assert [line.partition(" already ")[2] for line in again.splitlines()] == ["suspended"] * 2
    assert "(dry run)" in await done(running, "resume", "drives", "-n", "node-1", "--dry-run")
    assert set(map(names.is_suspended, (await labels(running)).values())) == {True}
    await done(running, "resume", "drives", "-n", "node-1")
    assert await labels(running) == before
    assert (await done(running, "resume", "drives", "-n", "node-1")).count(" not suspended\n") == 2


async def labels(running: Cluster) -> dict[str, dict[str, str]]:
    """Return the labels of every drive, as the registry has them."""
    async with running.bus() as bus:
        return {drive.record.fsuuid: drive.record.labels for drive in await listing.all_drives(bus, m.ListDrives())}


@pytest.mark.parametrize(
    ("argv", "status", "named"),
    [
        (["suspend", "drives", "-n", "node-1"], 1, "--dangerous"),
        (["suspend", "volumes", "pvc-drive", "--dry-run"], 1, "--dangerous"),
        (["suspend", "drives", "--dangerous"], 255, "--nodes"),
        (["suspend", "volumes", "--dangerous"], 255, "--pod-names"),
        (["resume", "drives"], 255, "--drives"),
        (["resume", "volumes"], 255, "--pod-namespaces"),
        (["resume", "drives", "sda"], 255, "not a drive id"),
        (["resume", "drives", "00000000-0000-4000-8000-00000000dead"], 1, "00000000-0000-4000-8000-00000000dead"),
        (["resume", "volumes", "pvc-none"], 1, "not found: pvc-none"),
        (["resume", "volumes", "--nodes", "node-9"], 1, "no volumes match"),
    ],
)
async def test_what_is_not_meant_or_not_there_is_refused(running, argv, status, named):
    ended = await plugin(running, *argv)

    assert (ended.returncode, named in ended.stderr) == (status, True), ended.stderr


async def test_a_node_that_does_not_know_yet_is_told_of_and_a_repeat_finds_that_it_does(running, client):
    pod = await new_pod(running, client, "pvc-away")
    running.kill("nodeagent-node-1")

    ended = await plugin(running, "suspend", "volumes", "pvc-away", "--dangerous")
    assert ended.returncode == 1
    assert "node-1 does not know of it yet" in ended.stderr

    running.start("nodeagent-node-1")
    await eventually(lambda: done(running, "suspend", "volumes", "pvc-away", "--dangerous"), "the node knows")
    await restart(pod)
    assert sees_nothing(pod)
