"""Drives and volumes as custom resources: those of upstream are served, ours are as upstream's tools expect them."""

import asyncio

import pytest

import directpv_common.protocol.messages as m
from directpv_common import crd
from directpv_common.bus.bus import Bus
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.errors import Conflict, NoCapacity, Unavailable
from integration.controller.harness import until
from integration.controller.node import PlayedNode
from integration.kubernetes_registry.harness import (
    DRIVES,
    GIB,
    VOLUMES,
    Cluster,
    create,
    drives,
    upstream_drive,
    upstream_volume,
    volumes,
)

pytestmark = pytest.mark.timeout(180)

ONE, TWO = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10", "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f20"


async def test_what_upstream_left_is_served(cluster: Cluster, bus: Bus) -> None:
    claim = "0E5F6AB7-6d5d-4a5b-8f61-5d9e4b0c1a2b"
    label = {f"directpv.min.io/volume-claim-id-{claim}": "true", "directpv.min.io/tier2": "nvme"}
    objects = cluster.objects
    objects.call("POST", DRIVES, upstream_drive(ONE, "n1", "pvc-1", free=89 * GIB, labels=label))
    objects.call("POST", DRIVES, upstream_drive(TWO, "n2", free=99 * GIB))
    objects.call("POST", VOLUMES, upstream_volume("pvc-1", ONE, 10 * GIB, labels={"directpv.min.io/claim-id": claim}))
    cluster.controller()

    found = await drives(bus)
    assert (found[ONE].record.overhead, found[ONE].free, found[ONE].volumes) == (GIB, 89 * GIB, 1)
    assert (await volumes(bus))["pvc-1"].record.capacity == 10 * GIB
    assert (await create(bus, "pvc-1", 10 * GIB)).record.fsuuid == ONE
    with pytest.raises(Conflict):
        await create(bus, "pvc-1", 11 * GIB)
    elsewhere = await create(bus, "pvc-2", GIB, parameters={names.VOLUME_CLAIM_ID: claim})
    assert elsewhere.record.fsuuid == TWO
    chosen = await create(bus, "pvc-3", GIB, parameters={"directpv.min.io/tier2": "nvme"})
    assert chosen.record.fsuuid == ONE
    expanded = await bus.call(Api.VOLUME_EXPAND, m.ExpandVolume(name="pvc-1", required=20 * GIB))
    assert expanded.capacity == 20 * GIB

    status = objects.all(DRIVES)[ONE]["status"]
    assert status["freeCapacity"] == 78 * GIB
    old = objects.all(VOLUMES)["pvc-1"]
    assert old["status"]["totalCapacity"] == 20 * GIB
    assert old["status"]["stagingTargetPath"] == "/var/lib/kubelet/plugins/staging/pvc-1"
    assert cluster.wrong() == []


async def test_a_volume_is_two_objects_as_upstream_makes_them(cluster: Cluster, bus: Bus) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    controller = cluster.controller()
    claim = "0e5f6ab7-6d5d-4a5b-8f61-5d9e4b0c1a2b"
    await create(bus, "pvc-0", GIB)  # the drive is written as ours by now
    await until(lambda: cluster.objects.find(VOLUMES, "pvc-0"), "the first volume is there")
    before = writes(cluster, controller)

    await create(bus, "pvc-1", 3 * GIB, parameters={names.VOLUME_CLAIM_ID: claim})

    assert writes(cluster, controller) - before == 2
    drive, volume = cluster.objects.all(DRIVES)[ONE], cluster.objects.all(VOLUMES)["pvc-1"]
    assert "directpv.min.io.volume/pvc-1" in drive["metadata"]["finalizers"]
    assert drive["metadata"]["labels"][f"directpv.min.io/volume-claim-id-{claim}"] == "true"
    assert drive["status"]["freeCapacity"] == 95 * GIB
    assert set(volume["metadata"]["finalizers"]) == {
        "directpv.min.io/pv-protection",
        "directpv.min.io/purge-protection",
    }
    labels = volume["metadata"]["labels"]
    assert {key: labels[f"directpv.min.io/{key}"] for key in ("drive", "node", "drive-name", "claim-id")} == {
        "drive": ONE,
        "node": "n1",
        "drive-name": "sdb",
        "claim-id": claim,
    }
    assert volume["status"]["status"] == "Pending"


def writes(cluster: Cluster, controller: object) -> float:
    verbs = ("POST", "PUT", "PATCH", "DELETE")
    texts = [f'directpv_controller_kubernetes_requests_total{{outcome="ok",resource="{r}",verb="{v}"}}'
             for v in verbs for r in ("drives", "volumes")]  # fmt: skip
    return sum(cluster.metric(controller, text) for text in texts)  # type: ignore[arg-type]


async def test_a_deleted_volume_leaves_nothing(cluster: Cluster, bus: Bus) -> None:
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    cluster.controller()
    async with node.running(bus):
        await until(lambda: cluster.objects.find(DRIVES, fsuuid), "the drive is registered")
        await create(bus, "pvc-1", GIB)
        await until(lambda: "pvc-1" in node.volumes(), "the node has the volume")
        await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="pvc-1"), within=20)

        await until(lambda: cluster.objects.find(VOLUMES, "pvc-1") is None, "the object is gone")
        assert cluster.objects.all(DRIVES)[fsuuid]["metadata"]["finalizers"] == ["directpv.min.io/data-protection"]
        assert cluster.objects.all(DRIVES)[fsuuid]["status"]["freeCapacity"] == 99 * GIB
        assert cluster.wrong() == []
        await create(bus, "pvc-2", GIB)
        assert cluster.wrong() == [], "the next write of the drive does not bring it back"


async def test_names_that_kubernetes_does_not_take_are_no_obstacle(cluster: Cluster, bus: Bus) -> None:
    node = PlayedNode("a" * 70 + ".example")
    fsuuid = node.add_drive(device="cciss/c0d0")
    name = "Vol_" + "x" * 100
    first = cluster.controller("c1")
    async with node.running(bus):
        await until(lambda: cluster.objects.find(DRIVES, fsuuid), "the drive is registered")
        made = await create(bus, name, GIB)
        assert made.node == node.name
        first.kill()
        cluster.controller("c2")
        again = (await volumes(bus))[name]
        assert (again.node, again.device, again.record) == (node.name, "cciss/c0d0", made.record)
    assert len(cluster.objects.all(VOLUMES)) == 1
    assert cluster.wrong() == []


async def test_an_object_that_makes_no_sense_stops_nothing(cluster: Cluster, bus: Bus) -> None:
    bad = upstream_drive(ONE)
    bad["status"]["status"] = "it exploded"
    cluster.objects.call("POST", DRIVES, bad)
    cluster.objects.call("POST", DRIVES, upstream_drive(TWO))
    controller = cluster.controller()

    assert (await create(bus, "pvc-1")).record.fsuuid == TWO
    assert set(await drives(bus)) == {TWO}
    assert controller.said("it exploded")

    node = PlayedNode("n1")
    node.add_drive(fsuuid=ONE)
    async with node.running(bus):
        await until(lambda: cluster.objects.all(DRIVES)[ONE]["status"]["status"] == "Ready", "the node has its say")


async def test_a_drive_that_is_full_refuses(cluster: Cluster, bus: Bus) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE, free=GIB))
    cluster.controller()
    await create(bus, "pvc-1", GIB)
    with pytest.raises(NoCapacity):
        await create(bus, "pvc-2", GIB)


async def test_many_at_once_are_never_placed_twice(cluster: Cluster, bus: Bus) -> None:
    for fsuuid in (ONE, TWO):
        cluster.objects.call("POST", DRIVES, upstream_drive(fsuuid, free=60 * GIB))
    controller = cluster.controller(lease_seconds=5.0)
    made = await asyncio.gather(*(create(bus, f"pvc-{n}", GIB) for n in range(120)))

    assert len({info.record.name for info in made}) == 120
    assert cluster.wrong() == []
    assert all(obj["status"]["freeCapacity"] == 0 for obj in cluster.objects.all(DRIVES).values())
    puts = cluster.metric(
        controller, 'directpv_controller_kubernetes_requests_total{outcome="ok",resource="drives",verb="PUT"}'
    )
    print(f"{puts:.0f} updates of two drives for 120 volumes")
    assert puts < 120, "placements that wait go together"


async def test_a_volume_whose_object_makes_no_sense_is_not_made_anew_and_its_room_is_kept(
    cluster: Cluster, bus: Bus
) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE, "n1", "pvc-1", free=49 * GIB))
    bad = upstream_volume("pvc-1", ONE, 50 * GIB)
    bad["metadata"]["annotations"] = {crd.RECORD: "{not JSON"}
    cluster.objects.call("POST", VOLUMES, bad)
    cluster.controller()
    await drives(bus)  # it leads

    with pytest.raises(Unavailable, match="start the agent"):
        await create(bus, "pvc-1")
    with pytest.raises(NoCapacity):
        await create(bus, "pvc-2", 60 * GIB)
    assert cluster.objects.all(VOLUMES)["pvc-1"]["metadata"]["annotations"] == bad["metadata"]["annotations"]

    node = PlayedNode("n1")
    node.add_drive(fsuuid=ONE)
    node.drives[ONE].volumes["pvc-1"] = m.VolumeRecord(name="pvc-1", fsuuid=ONE, capacity=50 * GIB)
    async with node.running(bus):
        await until(lambda: _is_shown(bus, "pvc-1"), "its drive tells what it was")
        assert (await create(bus, "pvc-1", 50 * GIB)).record.fsuuid == ONE
    assert cluster.wrong() == []


async def _is_shown(bus: Bus, name: str) -> bool:
    return name in await volumes(bus)
