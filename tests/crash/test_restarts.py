"""Any process may end, any index may be lost: drives and volumes are still there."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

import directpv_common.protocol.messages as m
from directpv_cli.local.csi_client import creation
from directpv_common.bus.bus import Bus
from directpv_common.protocol.units import MIB
from directpv_csi_gateway.pb import csi_pb2 as csi
from support.cluster import Cluster, Pod, cluster, eventually, everything, settled

SIZE = 16 * MIB
DATA = b"what was written" * 1000

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def running() -> AsyncIterator[Cluster]:
    with cluster(nodes=1, drives=2) as stack:
        await stack.initialise()
        yield stack


@pytest.fixture
async def bus(running: Cluster) -> AsyncIterator[Bus]:
    async with running.bus() as connected:
        yield connected


def home(running: Cluster) -> Path:
    return running.stack.directory / "pods"


async def create(running: Cluster, name: str) -> csi.Volume:
    async with running.csi() as client:
        return (await client.controller.CreateVolume(creation(name, SIZE))).volume


def promised(state: tuple[list[m.DriveInfo], list[m.VolumeInfo]]) -> object:
    """Return what must be the same after a restart: records and reservations, not what was observed of late."""
    drives, volumes = state
    return [(d.record, d.free, d.allocated, d.volumes) for d in drives], [v.record for v in volumes]


async def test_a_restarted_agent_keeps_mounts_and_serves_its_volumes(running, bus):
    volume = await create(running, "pvc-1")
    async with running.csi() as client:
        pod = Pod(client, volume, home(running))
        await pod.stage()
        await pod.publish()
        Path(pod.target, "file").write_bytes(DATA)

        running.kill("nodeagent-node-1")
        assert Path(pod.target, "file").read_bytes() == DATA
        running.start("nodeagent-node-1")

        stats = await eventually(pod.stats, "the agent serves again")
        assert {usage.unit: usage.total for usage in stats.usage}[csi.VolumeUsage.BYTES] == SIZE
        drives, _ = await settled(running, bus)
        assert [drive.record.status for drive in drives] == ["Ready", "Ready"]
        await pod.unpublish()
        await pod.unstage()


async def test_a_restarted_controller_knows_what_registry_and_drives_hold(running, bus):
    for number in range(10):
        await create(running, f"pvc-{number}")
    before = promised(await settled(running, bus))

    running.kill("controller-1")
    running.start("controller-1")

    async def as_before() -> None:
        assert promised(await settled(running, bus)) == before

    await eventually(as_before, "the controller leads again and has asked the node")


async def test_a_deleted_registry_comes_back_from_the_drives(running, bus):
    for number in range(10):
        await create(running, f"pvc-{number}")
    before = promised(await settled(running, bus))

    running.kill("controller-1")
    shutil.rmtree(running.stack.directory / "registry")
    (running.stack.directory / "registry").mkdir()
    running.start("controller-1")

    async def all_back() -> None:
        assert promised(await settled(running, bus)) == before

    await eventually(all_back, "drives and volumes are registered again")
    await create(running, "pvc-new")


async def test_a_registry_deleted_under_the_running_leader_comes_back_from_the_drives(running, bus):
    await create(running, "pvc-1")
    before = promised(await settled(running, bus))

    shutil.rmtree(running.stack.directory / "registry")
    (running.stack.directory / "registry").mkdir()

    async def all_back() -> None:
        assert (running.stack.directory / "registry" / "registry.db").exists()
        assert promised(await settled(running, bus)) == before

    await eventually(all_back, "drives and volumes are registered again")
    await eventually(lambda: create(running, "pvc-2"), "volumes can be created")


async def test_without_jetstreams_storage_only_the_event_history_is_gone(running, bus):
    await create(running, "pvc-1")
    await settled(running, bus)

    running.kill("nats")
    shutil.rmtree(running.stack.directory / "nats")
    running.start("nats")

    await eventually(lambda: create(running, "pvc-2"), "volumes can be created")
    _, volumes = await settled(running, bus)
    assert {volume.record.name for volume in volumes} == {"pvc-1", "pvc-2"}


async def test_the_node_path_works_without_controller_and_registry(running, bus):
    volume = await create(running, "pvc-1")
    await settled(running, bus)
    running.kill("controller-1")
    shutil.rmtree(running.stack.directory / "registry")

    async with running.csi() as client:
        pod = Pod(client, volume, home(running))
        await pod.stage()
        await pod.publish()
        Path(pod.target, "file").write_bytes(DATA)
        assert {usage.unit for usage in (await pod.stats()).usage} == {csi.VolumeUsage.BYTES, csi.VolumeUsage.INODES}
        await pod.unpublish()
        assert not os.path.lexists(pod.target)
        await pod.unstage()
        await pod.stage()
        await pod.publish(read_only=True)
        assert Path(pod.target, "file").read_bytes() == DATA
        with pytest.raises(OSError, match="Read-only"):
            Path(pod.target, "other").write_bytes(b"x")
        await pod.unpublish()
        await pod.unstage()


async def test_a_volume_in_use_is_not_deleted(running, bus):
    volume = await create(running, "pvc-1")
    async with running.csi() as client:
        pod = Pod(client, volume, home(running))
        await pod.stage()
        await pod.publish()
        Path(pod.target, "file").write_bytes(DATA)

        with pytest.raises(GRPCError) as refused:
            await client.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id="pvc-1"))
        assert refused.value.status is Status.FAILED_PRECONDITION
        assert Path(pod.target, "file").read_bytes() == DATA
        await settled(running, bus)

        await pod.unpublish()
        await pod.unstage()
        await client.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id="pvc-1"))
    _, volumes = await settled(running, bus)
    assert volumes == []


async def test_deleting_frees_the_space_and_removes_the_data(running, bus):
    before, _ = await everything(bus)
    volume = await create(running, "pvc-1")
    async with running.csi() as client:
        pod = Pod(client, volume, home(running))
        await pod.stage()
        await pod.publish()
        for number in range(50):
            Path(pod.target, f"file-{number}").write_bytes(DATA)
        await pod.unpublish()
        await pod.unstage()
        await client.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id="pvc-1"))

    after, _ = await settled(running, bus)
    assert [drive.free for drive in after] == [drive.free for drive in before]
    async with running.csi() as client:
        await client.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id="pvc-1"))
    await asyncio.sleep(0)
