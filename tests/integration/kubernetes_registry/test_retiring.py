"""Drives that are given up, with the real API server as registry: what goes, what stays, and what is remembered."""

import json

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller as Api
from integration.controller.harness import until
from integration.controller.node import PlayedNode
from integration.kubernetes_registry.harness import DRIVES, Cluster, create, drives, leads

REMEMBERED = "directpv-retired-drives"
DONE = m.RemovalOutcome.REMOVED


async def remove(bus: Bus, fsuuid: str) -> m.DriveRemoval:
    return await bus.call(Api.DRIVE_REMOVE, m.RemoveDrive(fsuuid=fsuuid), within=30)


async def is_there(bus: Bus, fsuuid: str) -> bool:
    return fsuuid in await drives(bus)


def retired(cluster: Cluster) -> dict[str, m.RetiredDrive]:
    found = cluster.objects.find(f"/api/v1/namespaces/{cluster.namespace}/configmaps", REMEMBERED)
    return {name: json.loads(text)["node"] for name, text in ((found or {}).get("data") or {}).items()}


async def test_a_drive_goes_with_its_object_and_others_keep_theirs(cluster: Cluster, bus: Bus) -> None:
    cluster.controller()
    node = PlayedNode("n1")
    fsuuid, other = node.add_drive(), node.add_drive()
    async with node.running(bus):
        await until(lambda: is_there(bus, fsuuid), "registered")
        await until(lambda: is_there(bus, other), "registered")

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
        await until(lambda: is_there(bus, fsuuid), "registered")

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
        await until(lambda: is_there(bus, fsuuid), "registered")
        await until(lambda: is_there(bus, used), "registered")
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
        await until(lambda: is_there(bus, fsuuid), "registered")
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
        await until(lambda: is_there(bus, fsuuid), "registered")
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
