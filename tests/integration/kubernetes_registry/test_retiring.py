"""Drives that are given up, with the real API server as registry: what goes, what stays, and what is remembered."""

import json

import msgspec

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.crd.shape import RECORD
from directpv_common.protocol.api import Controller as Api
from directpv_controller.registry.kubernetes.keys import key_name
from integration.controller.harness import until
from integration.controller.node import PlayedNode
from integration.kubernetes_registry.harness import (
    DRIVES,
    VOLUMES,
    Cluster,
    create,
    drives,
    is_there,
    leads,
    registered,
)

REMEMBERED = "directpv-retired-drives"
DONE = m.RemovalOutcome.REMOVED


async def remove(bus: Bus, fsuuid: str) -> m.DriveRemoval:
    return await bus.call(Api.DRIVE_REMOVE, m.RemoveDrive(fsuuid=fsuuid), within=30)


def retired(cluster: Cluster) -> dict[str, m.RetiredDrive]:
    found = cluster.objects.find(f"/api/v1/namespaces/{cluster.namespace}/configmaps", REMEMBERED)
    return {name: json.loads(text)["node"] for name, text in ((found or {}).get("data") or {}).items()}


async def test_a_drive_goes_with_its_object_and_others_keep_theirs(cluster: Cluster, bus: Bus) -> None:
    cluster.controller()
    node = PlayedNode("n1")
    fsuuid, other = node.add_drive(), node.add_drive()
    async with node.running(bus):
        await registered(cluster, bus, fsuuid, other)

        assert (await remove(bus, fsuuid)).outcome is DONE

        assert cluster.objects.all(DRIVES).keys() == {other}
        assert retired(cluster) == {}
        assert (await create(bus, "pvc-1")).record.fsuuid == other
        assert cluster.wrong() == []


async def test_upstreams_plugin_removes_a_drive_by_its_status(cluster: Cluster, bus: Bus) -> None:
    cluster.controller()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await registered(cluster, bus, fsuuid)

        cluster.objects.change(DRIVES, fsuuid, lambda obj: obj["status"].update(status="Removed"))

        await until(lambda: cluster.objects.all(DRIVES) == {}, "the object goes")
        assert fsuuid in node.noted
        assert not await is_there(bus, fsuuid)


async def test_a_status_that_was_written_while_nobody_led_is_carried_out_or_put_back(
    cluster: Cluster, bus: Bus
) -> None:
    first = cluster.controller("c1")
    node = PlayedNode("n1")
    fsuuid, used = node.add_drive(total=2 * 1024**3), node.add_drive()
    async with node.running(bus):
        await registered(cluster, bus, fsuuid, used)
        assert (await create(bus, "pvc-1", 5 * 1024**3)).record.fsuuid == used
        first.kill()
        for name in (fsuuid, used):
            cluster.objects.change(DRIVES, name, lambda obj: obj["status"].update(status="Removed"))
        cluster.controller("c2")

        await until(lambda: cluster.objects.all(DRIVES).keys() == {used}, "the empty one goes")
        await until(lambda: cluster.objects.all(DRIVES)[used]["status"]["status"] == "Ready", "the other is put back")
        assert cluster.wrong() == []


async def test_a_leader_that_is_killed_while_a_drive_goes_is_followed_by_one_that_ends_it(
    cluster: Cluster, bus: Bus
) -> None:
    first = cluster.controller("c1")
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await registered(cluster, bus, fsuuid)
        node.at_work = 1000
        assert (await remove(bus, fsuuid)).outcome is m.RemovalOutcome.WAITING
        assert cluster.objects.all(DRIVES)[fsuuid]["status"]["status"] == "Removed"
        first.kill()
        node.at_work = 0
        # As a leader leaves it that was killed after the deletion, and before it took the finalizer away.
        cluster.objects.call("DELETE", f"{DRIVES}/{fsuuid}")
        cluster.controller("c2")

        await until(lambda: cluster.objects.all(DRIVES) == {}, "the object goes")


async def test_a_disk_that_could_not_be_told_is_remembered_beside_the_lease_until_it_was(
    cluster: Cluster, bus: Bus
) -> None:
    first = cluster.controller("c1")
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    lost = node.drives[fsuuid]
    async with node.running(bus):
        await registered(cluster, bus, fsuuid)
        node.unwritable = True
        assert (await remove(bus, fsuuid)).outcome is DONE
        assert (cluster.objects.all(DRIVES), retired(cluster)) == ({}, {fsuuid: "n1"})
        first.kill()
        await leads(cluster.controller("c2"))

        node.unwritable = False
        node.drives[fsuuid] = lost
        await until(lambda: fsuuid in node.noted, "the disk is told")
        await until(lambda: retired(cluster) == {}, "nothing needs to be remembered")
        assert cluster.objects.all(DRIVES) == {}


def claimed(cluster: Cluster, volume: str) -> None:
    """A PersistentVolume of ours with the claim that it belongs to, as csi-provisioner leaves them."""
    claim = {"namespace": cluster.namespace, "name": "data-0", "uid": "5b1d4a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"}
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Delete",
        "csi": {"driver": "directpv-min-io", "volumeHandle": volume},
        "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim},
    }
    item = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume}, "spec": spec}
    cluster.objects.call("POST", "/api/v1/persistentvolumes", item)


def events_on_claims(cluster: Cluster) -> list[tuple[str, str, str]]:
    items = cluster.objects.call("GET", f"/api/v1/namespaces/{cluster.namespace}/events")["items"]
    about = [(item["involvedObject"], item) for item in items]
    return [(ref["name"], item["reason"], item["message"]) for ref, item in about if ref["kind"].endswith("Claim")]


async def test_a_lost_drive_goes_with_the_objects_of_its_volumes_and_their_claims_say_what_to_do(
    cluster: Cluster, bus: Bus
) -> None:
    first = cluster.controller("c1")
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await registered(cluster, bus, fsuuid)
        for name in ("pvc-1", "pvc-2"):
            await create(bus, name)
        claimed(cluster, "pvc-1")
        drive = node.drives[fsuuid]
        drive.record = msgspec.structs.replace(drive.record, status=m.DriveStatus.LOST, device="")
        drive.readable, drive.generation = False, drive.generation + 1
        await until(lambda: cluster.objects.all(DRIVES)[fsuuid]["status"]["status"] == "Lost", "it is lost")
        before = cluster.objects.find("/api/v1/persistentvolumes", "pvc-1")
        node.unwritable = True

        done = await bus.call(Api.DRIVE_REMOVE, m.RemoveDrive(fsuuid=fsuuid, lost=True), within=30)

        assert (done.outcome, done.count) == (DONE, 2)
        assert (cluster.objects.all(DRIVES), cluster.objects.all(VOLUMES)) == ({}, {})
        assert retired(cluster) == {fsuuid: "n1"}
        await until(lambda: events_on_claims(cluster), "the claim says so")
        ((claim, reason, message),) = events_on_claims(cluster)
        assert (claim, reason, "delete the claim" in message) == ("data-0", "VolumeGivenUp", True)
        assert cluster.objects.find("/api/v1/persistentvolumes", "pvc-1") == before
        first.kill()
        await leads(cluster.controller("c2"))
        node.drives[fsuuid] = drive
        await until(lambda: fsuuid not in node.drives, "the node is told")
        assert (cluster.objects.all(DRIVES), cluster.objects.all(VOLUMES)) == ({}, {})
    cluster.objects.call("DELETE", "/api/v1/persistentvolumes/pvc-1")


async def test_a_leader_that_is_killed_between_the_objects_of_a_lost_drive_is_followed_by_one_that_ends_it(
    cluster: Cluster, bus: Bus
) -> None:
    """Some volumes are gone, the drive and others are not: written here by hand, as a kill leaves it."""
    first = cluster.controller("c1")
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await registered(cluster, bus, fsuuid)
        for name in ("pvc-1", "pvc-2"):
            await create(bus, name)
    first.kill()

    def lost(obj: dict) -> None:  # type: ignore[type-arg]
        obj["status"]["status"] = "Removed"
        record = json.loads(obj["metadata"]["annotations"][RECORD])
        obj["metadata"]["annotations"][RECORD] = json.dumps({**record, "removal": "lost"})

    cluster.objects.change(DRIVES, fsuuid, lost)
    cluster.objects.erase(VOLUMES, "pvc-1")
    cluster.controller("c2")

    await until(lambda: cluster.objects.all(DRIVES) == {}, "the drive goes")
    assert cluster.objects.all(VOLUMES) == {}
    assert retired(cluster) == {fsuuid: "n1"}


async def test_a_node_that_is_gone_goes_with_its_drives_and_its_key_and_the_next_leader_knows(
    cluster: Cluster, bus: Bus
) -> None:
    first = cluster.controller("c1", online_seconds=1)
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    key = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": key_name("n1")},
        "data": {"node": "n1", "key": "U123", "pod": "p"},
    }
    home = f"/api/v1/namespaces/{cluster.namespace}/configmaps"
    cluster.objects.call("POST", home, key)
    async with node.running(bus):
        await registered(cluster, bus, fsuuid)

    async def away() -> bool:
        return not (await drives(bus))[fsuuid].online

    await until(away, "the node is away")
    plan = await bus.call(Api.NODE_REMOVE, m.RemoveNode(node="n1", dry_run=True), within=30)
    assert (plan.key, len(plan.drives)) == (True, 1)
    assert cluster.objects.find(home, key_name("n1"))["data"] == key["data"]  # type: ignore[index]

    done = await bus.call(Api.NODE_REMOVE, m.RemoveNode(node="n1"), within=30)

    assert (done.key, len(done.drives)) == (True, 1)
    assert not (cluster.objects.find(home, key_name("n1")) or {}).get("data")
    assert cluster.objects.all(DRIVES) == {}
    assert retired(cluster) == {fsuuid: "n1"}
    first.kill()
    await leads(cluster.controller("c2", online_seconds=1))
    again = await bus.call(Api.NODE_REMOVE, m.RemoveNode(node="n1"), within=30)
    assert (again.drives, again.since != "") == ((), True)
    async with node.running(bus):
        await until(lambda: fsuuid in node.noted, "its disk is told")
        (shown,) = (await bus.call(Api.NODE_LIST, m.ListNodes(), within=20)).nodes
        assert (shown.given_up, shown.drives) == (again.since, 0)
        await until(lambda: retired(cluster) == {}, "nothing needs to be remembered of the drive")
    assert cluster.objects.all(DRIVES) == {}
