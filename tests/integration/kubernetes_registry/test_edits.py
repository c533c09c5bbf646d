"""What people, GitOps and upstream's plugin do to the objects is taken in, or put back."""

import asyncio
import json
import urllib.request
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.errors import NoCapacity
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
from support.kube.kubeconfig import Endpoint
from support.proxy import Proxy

pytestmark = pytest.mark.timeout(180)

ONE, TWO = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10", "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f20"


async def test_a_cordon_by_hand_closes_the_drive_and_reaches_its_node(cluster: Cluster, bus: Bus) -> None:
    node = PlayedNode("n1")
    node.add_drive(fsuuid=ONE)
    cluster.controller()
    async with node.running(bus):
        await until(lambda: cluster.objects.find(DRIVES, ONE), "the drive is registered")
        await create(bus, "pvc-1")

        def cordon(obj: dict) -> None:  # type: ignore[type-arg]
            obj["spec"]["unschedulable"] = True
            obj["metadata"]["labels"]["directpv.min.io/purpose"] = "test"
            obj["metadata"]["labels"]["directpv.min.io/access-tier"] = "Hot"
            obj["metadata"].setdefault("annotations", {})["example.com/ticket"] = "42"

        cluster.objects.change(DRIVES, ONE, cordon)
        await until(lambda: node.drives[ONE].record.unschedulable, "the drive itself is told")
        with pytest.raises(NoCapacity):
            await create(bus, "pvc-2")
        record = (await drives(bus))[ONE].record
        assert (record.labels, record.access_tier) == ({"directpv.min.io/purpose": "test"}, "Hot")

        change = m.ChangeDrive(fsuuid=ONE, unschedulable=False)
        await bus.call(Api.DRIVE_CHANGE, change)
        await create(bus, "pvc-2", parameters={names.ACCESS_TIER: "Hot"})
        obj = cluster.objects.all(DRIVES)[ONE]
        assert obj["spec"]["unschedulable"] is False
        assert obj["metadata"]["annotations"]["example.com/ticket"] == "42"
        assert obj["metadata"]["labels"]["directpv.min.io/purpose"] == "test"
        assert cluster.wrong() == []


async def test_edits_in_the_middle_of_a_burst_are_neither_lost_nor_in_the_way(cluster: Cluster, bus: Bus) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    controller = cluster.controller()
    await create(bus, "pvc-first")

    def edits() -> None:
        for number in range(30):
            cluster.objects.change(
                DRIVES, ONE, lambda obj, n=number: obj["metadata"]["labels"].update({f"example.com/l{n}": "x"})
            )

    editing = asyncio.create_task(asyncio.to_thread(edits))
    await asyncio.gather(*(create(bus, f"pvc-{n}", GIB // 4) for n in range(100)))
    await editing

    labels = {f"example.com/l{number}" for number in range(30)}
    await until(lambda: labels <= cluster.objects.all(DRIVES)[ONE]["metadata"]["labels"].keys(), "all labels stay")

    async def known() -> bool:
        return labels <= (await drives(bus))[ONE].record.labels.keys()

    await until(known, "the controller knows them all")
    conflicts = cluster.metric(controller, "directpv_controller_kubernetes_conflicts_total")
    print(f"{conflicts:.0f} conflicts")
    assert cluster.wrong() == []


async def test_a_suspended_volume_reaches_its_drive(cluster: Cluster, bus: Bus) -> None:
    node = PlayedNode("n1")
    node.add_drive(fsuuid=ONE)
    cluster.controller()
    async with node.running(bus):
        await until(lambda: cluster.objects.find(DRIVES, ONE), "the drive is registered")
        await create(bus, "pvc-1")
        await until(lambda: "pvc-1" in node.volumes(), "the node has the volume")
        cluster.objects.change(
            VOLUMES, "pvc-1", lambda obj: obj["metadata"]["labels"].update({"directpv.min.io/suspend": "true"})
        )
        suspended = {"directpv.min.io/suspend": "true"}
        await until(lambda: node.volumes()["pvc-1"].labels == suspended, "the drive's record says so")


async def test_a_volume_that_upstreams_clean_released_is_purged(cluster: Cluster, bus: Bus) -> None:
    node = PlayedNode("n1")
    node.add_drive(fsuuid=ONE)
    cluster.controller()
    async with node.running(bus):
        await until(lambda: cluster.objects.find(DRIVES, ONE), "the drive is registered")
        await create(bus, "pvc-1")
        await create(bus, "pvc-2")
        await until(lambda: len(node.volumes()) == 2, "the node has the volumes")

        cluster.objects.call("DELETE", f"{VOLUMES}/pvc-2")  # its claim still speaks for it
        cluster.objects.change(
            VOLUMES, "pvc-1", lambda obj: obj["metadata"].update(finalizers=["directpv.min.io/purge-protection"])
        )
        cluster.objects.call("DELETE", f"{VOLUMES}/pvc-1")

        await until(lambda: cluster.objects.find(VOLUMES, "pvc-1") is None, "the object is gone")
        assert set(node.volumes()) == {"pvc-2"}
        assert set(await volumes(bus)) == {"pvc-2"}
        assert cluster.objects.all(DRIVES)[ONE]["status"]["freeCapacity"] == 98 * GIB


async def test_objects_that_were_deleted_by_force_are_made_again(cluster: Cluster, bus: Bus) -> None:
    node = PlayedNode("n1")
    node.add_drive(fsuuid=ONE)
    controller = cluster.controller()
    async with node.running(bus):
        await until(lambda: cluster.objects.find(DRIVES, ONE), "the drive is registered")
        made = await create(bus, "pvc-1")
        for path, name in ((VOLUMES, "pvc-1"), (DRIVES, ONE)):
            cluster.objects.erase(path, name)
        await until(lambda: cluster.objects.find(DRIVES, ONE) and cluster.objects.find(VOLUMES, "pvc-1"), "both again")
        assert (await volumes(bus))["pvc-1"].record == made.record
        await until(lambda: cluster.wrong() == [], "they tell the truth")
        assert controller.said("object was deleted; it is made again")

        async def cordoned() -> bool:
            return (await drives(bus))[ONE].record.unschedulable

        await until(cordoned, "it takes no volumes")
        with pytest.raises(NoCapacity, match="cordoned"):  # somebody wanted the drive to go: a person must decide
            await create(bus, "pvc-2")
        await bus.call(Api.DRIVE_CHANGE, m.ChangeDrive(fsuuid=ONE, unschedulable=False))
        await create(bus, "pvc-2")
        assert cluster.wrong() == []


@pytest.mark.parametrize("status", ["Removed", "Moving"])
async def test_a_status_that_upstreams_plugin_wrote_on_a_drive_with_a_volume_is_put_back(
    cluster: Cluster, bus: Bus, status: str
) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    controller = cluster.controller()
    await create(bus, "pvc-1")
    cluster.objects.change(DRIVES, ONE, lambda obj: obj["status"].update(status=status))

    await until(lambda: cluster.objects.all(DRIVES)[ONE]["status"]["status"] == "Ready", "it is put back")
    await until(lambda: controller.said("status asked for"), "it is told, and why")
    assert not cluster.objects.all(DRIVES)[ONE]["spec"]["unschedulable"]
    assert cluster.wrong() == []


async def test_reservations_that_somebody_else_wrote_are_put_back(cluster: Cluster, bus: Bus) -> None:
    """As upstream's move does in its first two steps; nothing is moved, and nothing is lost."""
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    cluster.controller()
    await create(bus, "pvc-1")

    def taken(obj: dict) -> None:  # type: ignore[type-arg]
        obj["metadata"]["finalizers"] = ["directpv.min.io/data-protection"]
        obj["status"]["freeCapacity"] += 5

    cluster.objects.change(DRIVES, ONE, taken)
    await until(lambda: cluster.wrong() == [], "the drive shows its volume")


async def test_a_volume_that_appears_from_nowhere_gets_its_space(cluster: Cluster, bus: Bus) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    cluster.controller()
    await create(bus, "pvc-1")
    cluster.objects.call("POST", VOLUMES, upstream_volume("pvc-restored", ONE, 10 * GIB))
    await until(lambda: cluster.wrong() == [], "the drive shows it")
    assert (await drives(bus))[ONE].free == 88 * GIB
    assert "pvc-restored" in await volumes(bus)


async def test_a_volume_that_a_former_leader_made_too_late_goes_if_it_does_not_fit(cluster: Cluster, bus: Bus) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE, free=GIB))
    cluster.controller()
    await create(bus, "pvc-1")
    late = upstream_volume("pvc-late", ONE, GIB)
    late["metadata"]["annotations"] = {"registry.directpv.min.io/epoch": "5"}
    cluster.objects.call("POST", VOLUMES, late)
    await until(lambda: cluster.objects.find(VOLUMES, "pvc-late") is None, "it is withdrawn")
    assert cluster.wrong() == []


async def test_a_compacted_history_is_listed_again(cluster: Cluster, bus: Bus) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    controller = cluster.controller("c1", lease_seconds=60.0)
    await create(bus, "pvc-1")
    server = cluster.server
    server.process.kill()  # watches end; meanwhile history is forgotten, and things change
    etcd = server.etcd.url
    body = json.dumps({"key": "AA==", "range_end": "AA==", "keys_only": True}).encode()
    request = urllib.request.Request(f"{etcd}/v3/kv/range", data=body)
    revision = json.load(urllib.request.urlopen(request, timeout=5))["header"]["revision"]
    compact = json.dumps({"revision": revision, "physical": True}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{etcd}/v3/kv/compaction", data=compact), timeout=5).read()
    await asyncio.to_thread(server.start_server)
    for number in range(5):
        cluster.objects.change(
            DRIVES, ONE, lambda obj, n=number: obj["metadata"]["labels"].update({"example.com/seen": f"v{n}"})
        )

    async def seen() -> bool:
        return (await drives(bus))[ONE].record.labels.get("example.com/seen") == "v4"

    await until(seen, "the last edit is taken in")
    assert controller.said("listing again")
    assert cluster.wrong() == []


async def test_an_edit_that_comes_while_the_volume_is_written_slowly_is_not_lost(cluster: Cluster, bus: Bus) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    way = Proxy(cluster.server.port)
    async with way.listening() as port:
        slow = Endpoint(f"https://127.0.0.1:{port}", cluster.server.endpoint.authority)
        config = slow.write(cluster.directory / "slow.yaml", cluster.server.pki.client("slow", "system:masters"))
        controller = cluster.controller(kubeconfig=config, lease_seconds=30)
        await create(bus, "pvc-1", GIB)

        way.seconds = 3.0  # a change of a volume waits for two seconds for another one
        expanding = asyncio.create_task(
            bus.call(Api.VOLUME_EXPAND, m.ExpandVolume(name="pvc-1", required=2 * GIB), within=60)
        )
        free = cluster.objects.all(DRIVES)[ONE]["status"]["freeCapacity"]
        await until(lambda: cluster.objects.all(DRIVES)[ONE]["status"]["freeCapacity"] < free, "space is reserved", 30)
        label = {"directpv.min.io/purpose": "test"}  # written now, while the volume itself is on its way
        await asyncio.to_thread(
            cluster.objects.change, VOLUMES, "pvc-1", lambda obj: obj["metadata"]["labels"].update(label)
        )
        await asyncio.to_thread(
            cluster.objects.change, VOLUMES, "pvc-1", lambda obj: obj["status"].update(totalCapacity=5 * GIB)
        )
        await expanding
        await until(lambda: controller.said("edit not taken in"), "the edit came at a bad time", 30)
        way.seconds = 0.0

        async def is_taken_in() -> bool:
            record = (await volumes(bus))["pvc-1"].record
            return (record.labels, record.capacity) == (label, 5 * GIB)

        await until(is_taken_in, "label and larger size are known", 30)
        await bus.call(Api.VOLUME_EXPAND, m.ExpandVolume(name="pvc-1", required=6 * GIB))
    obj = cluster.objects.all(VOLUMES)["pvc-1"]
    assert obj["metadata"]["labels"].items() >= label.items()
    assert obj["status"]["totalCapacity"] == 6 * GIB


def events_on(cluster: Cluster, path: str, name: str) -> list[dict[str, Any]]:
    """Return what ``kubectl describe`` of the object ``name`` shows."""
    uid = cluster.objects.all(path)[name]["metadata"]["uid"]
    items = cluster.objects.call("GET", "/api/v1/namespaces/default/events")["items"]
    return [item for item in items if item["involvedObject"]["uid"] == uid]


async def test_who_describes_an_object_sees_why_an_edit_was_put_back(cluster: Cluster, bus: Bus) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    cluster.controller()
    await create(bus, "pvc-1")
    cluster.objects.change(DRIVES, ONE, lambda obj: obj["status"].update(status="Moving"))
    cluster.objects.change(VOLUMES, "pvc-1", lambda obj: obj["status"].update(fsuuid=TWO))

    await until(lambda: events_on(cluster, DRIVES, ONE) and events_on(cluster, VOLUMES, "pvc-1"), "both are told")
    drive, volume = events_on(cluster, DRIVES, ONE)[0], events_on(cluster, VOLUMES, "pvc-1")[0]
    assert (drive["type"], drive["reason"], volume["reason"]) == ("Warning", "EditRefused", "EditRefused")
    assert "nothing was moved" in drive["message"]
    assert volume["message"].startswith("fsuuid: ")
    await until(lambda: cluster.wrong() == [], "both are put back")


async def test_the_same_edit_again_and_again_is_one_event_that_counts(cluster: Cluster, bus: Bus) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    cluster.controller()
    await create(bus, "pvc-1")
    for _ in range(3):
        cluster.objects.change(DRIVES, ONE, lambda obj: obj["status"].update(status="Moving"))
        await until(lambda: cluster.objects.all(DRIVES)[ONE]["status"]["status"] == "Ready", "it is put back")

    await until(lambda: [event["count"] for event in events_on(cluster, DRIVES, ONE)] == [3], "counted")


async def test_a_larger_size_that_somebody_promised_on_the_object_is_taken_in(cluster: Cluster, bus: Bus) -> None:
    node = PlayedNode("n1")
    node.add_drive(fsuuid=ONE)
    cluster.controller()
    async with node.running(bus):
        await until(lambda: cluster.objects.find(DRIVES, ONE), "the drive is registered")
        await create(bus, "pvc-1", GIB)
        await until(lambda: "pvc-1" in node.volumes(), "the node has the volume")
        cluster.objects.change(VOLUMES, "pvc-1", lambda obj: obj["status"].update(totalCapacity=3 * GIB))

        await until(lambda: node.volumes()["pvc-1"].capacity == 3 * GIB, "the drive has it")
        assert cluster.objects.all(VOLUMES)["pvc-1"]["status"]["totalCapacity"] == 3 * GIB
        assert cluster.wrong() == []

        cluster.objects.change(VOLUMES, "pvc-1", lambda obj: obj["status"].update(totalCapacity=10_000 * GIB))
        await until(lambda: events_on(cluster, VOLUMES, "pvc-1"), "there is no room for that, which is told")
        assert "free" in events_on(cluster, VOLUMES, "pvc-1")[0]["message"]
        await until(lambda: cluster.wrong() == [], "it is put back")
        assert (await volumes(bus))["pvc-1"].record.capacity == 3 * GIB


async def test_space_that_another_controller_reserved_without_a_volume_is_put_back_and_told(
    cluster: Cluster, bus: Bus
) -> None:
    """As upstream's controller does, which expands on the drive alone and leaves the volume to its node."""
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    cluster.controller()
    await create(bus, "pvc-1")

    def reserve(obj: dict[str, Any]) -> None:
        obj["status"]["freeCapacity"] -= 64 * 1024**2
        obj["status"]["allocatedCapacity"] += 64 * 1024**2

    cluster.objects.change(DRIVES, ONE, reserve)
    await until(lambda: events_on(cluster, DRIVES, ONE), "it is told")
    assert "67108864 bytes" in events_on(cluster, DRIVES, ONE)[0]["message"]
    await until(lambda: cluster.wrong() == [], "it is put back")
