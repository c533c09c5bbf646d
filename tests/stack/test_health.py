"""Health as kubelet asks for it, from a running stack whose drive is pulled and put back."""

import asyncio
from collections.abc import Iterator

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from directpv_cli.local.csi_client import creation
from directpv_cli.local.machine import disks
from directpv_common.protocol.names import DRIVE
from directpv_common.protocol.units import MIB
from directpv_csi_gateway.pb import csi_pb2 as pb
from support.cluster import Cluster, Pod, cluster, eventually, in_thread
from support.pulling import agent, device_of, pull

pytestmark = pytest.mark.timeout(240)
Entries = list[tuple[int, str]]


@pytest.fixture
def running() -> Iterator[Cluster]:
    with cluster(nodes=1, drives=2) as stack:
        in_thread(lambda: asyncio.run(stack.initialise()))
        yield stack


def entries(health: pb.VolumeHealth) -> Entries:
    return [(each.status, each.reason) for each in health.health_statuses]


async def node_says(running: Cluster, pod: Pod) -> Entries:
    """Ask as kubelet of Kubernetes 1.37 does: over a connection of its own, like all that follow."""
    name = pod.volume.volume_id
    request = pb.NodeGetVolumeHealthRequest(
        volume_id=name, volume_publish_path=pod.target, staging_target_path=pod.staging
    )
    async with running.csi() as client:
        found = (await client.node.NodeGetVolumeHealth(request)).volume_health
    assert found.volume_id == name
    return entries(found)


async def everything(running: Cluster, pod: Pod) -> tuple[Entries, Entries, dict[str, Entries], Entries]:
    """Return what node and controller say of the volume, which volumes are listed, what the node says of its drives."""
    of_volume = await node_says(running, pod)
    async with running.csi() as client:
        asked = pb.ControllerGetVolumeHealthRequest(volume_id=pod.volume.volume_id)
        seen = (await client.controller.ControllerGetVolumeHealth(asked)).volume_health
        page = await client.controller.ControllerListVolumeHealth(pb.ControllerListVolumeHealthRequest())
        storage = await client.node.NodeGetStorageHealth(pb.NodeGetStorageHealthRequest())
    unwell = {each.volume_id: entries(each) for each in page.entries}
    return of_volume, entries(seen), unwell, [(each.status, each.reason) for each in storage.backend_health]


async def a_pod(running: Cluster) -> Pod:
    async with running.csi() as client:
        volume = (await client.controller.CreateVolume(creation("pvc-1", 16 * MIB))).volume
        pod = Pod(client, volume, running.stack.directory / "pods")
        await pod.stage()
        await pod.publish()
    return pod


async def test_a_pulled_drive_appears_in_all_four_answers_and_leaves_them_when_it_is_back(running: Cluster) -> None:
    pod = await a_pod(running)
    well = ([], [], {}, [])
    assert await everything(running, pod) == well
    device = await asyncio.to_thread(device_of, running, pod.volume.volume_context[DRIVE])

    file = await asyncio.to_thread(pull, running, device)

    gone = [(pb.INACCESSIBLE, "DriveLost")]
    degraded = [(pb.STORAGE_DEGRADED, "DriveLost")]

    async def is_lost() -> None:
        assert await everything(running, pod) == (gone, gone, {"pvc-1": gone}, degraded)

    await eventually(is_lost, "the drive is told to be lost")
    await asyncio.to_thread(disks.command, "losetup", f"/dev/{device}", file)

    async def is_well() -> None:
        assert await everything(running, pod) == well

    await eventually(is_well, "the drive is told to be well again")


async def test_an_agent_that_was_started_without_the_drive_says_that_kubelets_volume_has_lost_it(
    running: Cluster,
) -> None:
    pod = await a_pod(running)
    device = await asyncio.to_thread(device_of, running, pod.volume.volume_context[DRIVE])
    await asyncio.to_thread(pull, running, device)
    running.kill(agent(running))
    running.start(agent(running))

    async def is_lost() -> None:
        assert await node_says(running, pod) == [(pb.INACCESSIBLE, "DriveLost")]

    await eventually(is_lost, "the drive is told to be lost")


async def test_while_the_agent_is_away_nobody_waits_for_it_and_nothing_is_said_to_be_well(running: Cluster) -> None:
    """kubelet asks for one volume after the other, and keeps what it knew when it gets no answer."""
    pod = await a_pod(running)
    running.kill(agent(running))

    async def says_so() -> None:
        with pytest.raises(GRPCError) as caught:
            await node_says(running, pod)
        assert caught.value.status is Status.UNAVAILABLE
        assert "agent is not running" in (caught.value.message or "")

    await eventually(says_so, "the absence is told")
