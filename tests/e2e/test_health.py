"""What Kubernetes itself shows of a disk that fails: the health of a pod's volume, and of its node's storage."""

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import pytest

from support.guest import disks
from support.guest.disks import Disk
from support.guest.uml import make_disk
from support.kube.cluster import OwnCluster
from support.kube.driver import Driver
from support.kube.node import SPARE, KubeNode
from support.kube.workloads import DRIVER, Object, Space, claim, drive_of, pod, storage_class

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1800)]

LIMIT: Final = 180.0
"""Seconds; kubelet asks every 15 here (see ``HEALTH_PERIOD``), and asks each driver in its turn."""
RULES: Final = "/run/udev/rules.d/99-below.rules"
BELOW: Final = 'SUBSYSTEM=="block", KERNEL=="{disk}|dm-*", ENV{{SYSTEMD_READY}}="0"\n'
"""What a SCSI disk here is made of shows its content, too, and stays when the disk is pulled: no disk of its own."""


@dataclass(frozen=True)
class Told:
    """What the cluster's objects say at one moment; nothing if all is well."""

    volume: list[Object]
    """Conditions of the pod's volume."""
    storage: list[Object]
    """Conditions of the driver's storage on the pod's node."""

    def __bool__(self) -> bool:
        return bool(self.volume or self.storage)


def conditions(entries: list[Object], name: str) -> list[Object]:
    """Return the conditions of the entry of that name; kubelet leaves an entry without any when all is well again."""
    return [each for entry in entries if entry["name"] == name for each in entry.get("healthConditions", [])]


class Watched:
    """A pod with one claim, and its node, as Kubernetes tells of their health."""

    def __init__(self, space: Space, name: str, node: KubeNode) -> None:
        self.space, self.name, self.node = space, name, node

    async def told(self) -> Told:
        (found,) = (each for each in await self.space.objects("pods") if each["metadata"]["name"] == self.name)
        (csi_node,) = (
            each for each in await self.space.objects("csinodes") if each["metadata"]["name"] == self.node.name
        )
        return Told(
            conditions(found["status"].get("volumeHealth", []), self.name),
            conditions(csi_node.get("status", {}).get("storageHealth", []), DRIVER),
        )

    async def ill(self) -> Told:
        """Wait until both tell of something, and return it."""

        async def look() -> Told | None:
            now = await self.told()
            return now if now.volume and now.storage else None

        found: Told = await self.space.cluster.until(look, "pod and CSINode tell that something is wrong", LIMIT)
        return found

    async def well(self) -> None:
        """Wait until neither tells of anything."""

        async def look() -> bool:
            return not await self.told()

        await self.space.cluster.until(look, "neither pod nor CSINode tells that anything is wrong", LIMIT)


@contextlib.asynccontextmanager
async def further_drive(machines: OwnCluster, driver: Driver, space: Space, node: KubeNode) -> AsyncIterator[Disk]:
    """Have a drive more, on a disk that can be pulled; afterwards it is gone, with the pods and claims of the space."""
    below = node.machine.disk_device(SPARE).removeprefix("/dev/")
    await node.hand.sh(f"mkdir -p $(dirname {RULES})")
    await node.hand.write(RULES, BELOW.format(disk=below).encode())
    await node.hand.sh("udevadm control --reload")
    await node.plug(make_disk(machines.directory / "pulled.img"))
    await disks.prepare(node.hand)
    disk = Disk(node.machine, SPARE)
    await disk.attach()
    before = ids(driver)
    await driver.make_drives({(node.name, disk.name)})
    (drive,) = ids(driver) - before
    try:
        yield disk
    finally:
        if not await disk.is_in():
            await disk.put_back()
        await space.kubectl("delete", "pods,pvc", "--all")
        await machines.eventually(lambda: drive not in used(driver), "the drive has no volumes", LIMIT)
        await driver.plugin("remove", drive)
        await machines.eventually(lambda: drive not in ids(driver), "the drive is removed")
        await disk.pull()
        await disk.withdraw()
        await node.unplug()
        await node.hand.sh(f"rm {RULES}; udevadm control --reload")


def ids(driver: Driver) -> set[str]:
    return {each["metadata"]["name"] for each in driver.drives()}


def used(driver: Driver) -> set[str]:
    return {drive_of(each) for each in driver.volumes().values()}


async def test_a_disk_pulled_below_a_pod_shows_in_the_health_of_pod_and_node_until_it_is_back(
    machines: OwnCluster, driver: Driver, space: Space
) -> None:
    node = machines.nodes[-1]
    async with further_drive(machines, driver, space, node) as disk:
        name = f"{space.name}-pulled"
        user = pod("data", ["data"])
        made = storage_class(name, binding="Immediate", drive_name=disk.name)
        await space.apply(made, claim("data", storage_class=name), user)
        await space.ready("app=data", 1)
        await space.sh("data", "echo kept > /data/file; sync /data/file")
        watched = Watched(space, "data", node)
        assert not await watched.told()

        await disk.pull()
        began = time.monotonic()
        told = await watched.ill()
        print(f"\nshown {time.monotonic() - began:.1f} s after the disk was pulled: {told}")
        drive = drive_of((await space.volumes())["data"])
        ((volume,), (storage,)) = told.volume, told.storage
        assert (volume["status"], volume["reason"]) == ("Inaccessible", "DriveLost")
        assert drive in volume["message"]
        assert (storage["status"], storage["reason"]) == ("StorageDegraded", "DriveLost")
        assert node.name in storage["message"]

        await disk.put_back()
        began = time.monotonic()
        await watched.well()
        print(f"gone {time.monotonic() - began:.1f} s after it was back")

        # What ran all the time has the failed file system still; what starts now has the volume.
        await space.kubectl("delete", "pod", "data")
        await space.apply(user)
        await space.ready("app=data", 1)
        assert await space.sh("data", "cat /data/file") == "kept"
        assert not await watched.told()
