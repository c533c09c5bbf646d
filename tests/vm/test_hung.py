"""A drive that hangs costs its own operations, and no others."""

import asyncio
import time

import pytest

from directpv_common.protocol.api import Node
from directpv_common.protocol.messages import DriveStatus, StatVolume, VolumeRecord
from support.guest.disks import Disk
from support.guest.lab import Lab, Tap
from support.guest.node import ROOT, Pod
from support.node_client import MIB

ROUNDS = 20
CALLS = 6
"""More than a drive has threads."""


async def round_trip(pod: Pod) -> float:
    """Return the seconds that taking a volume away and giving it back take."""
    began = time.perf_counter()
    await pod.stop()
    await pod.start()
    return time.perf_counter() - began


async def test_a_hung_drive_costs_only_its_own_operations(lab: Lab, tap: Tap) -> None:
    node, disks, drives = await lab.node_with_drives(drives=2, **{"scan-interval": 2})
    for index, drive in enumerate(drives):
        await node.client.make_volume(drive, f"pvc-{index}")
    pods = [Pod(node, f"pvc-{index}") for index in range(2)]
    for pod in pods:
        await pod.start()
    before = sorted([await round_trip(pods[1]) for _ in range(ROUNDS)])

    await disks[0].hang()
    stuck = asyncio.create_task(
        node.client.prepare(VolumeRecord(name="pvc-stuck", fsuuid=drives[0], capacity=20 * MIB))
    )
    during = sorted([await round_trip(pods[1]) for _ in range(ROUNDS)])
    print(
        f"unpublish, unstage, stage and publish on the other drive, milliseconds: before p50 "
        f"{before[ROUNDS // 2] * 1e3:.1f}, max {before[-1] * 1e3:.1f}; during p50 "
        f"{during[ROUNDS // 2] * 1e3:.1f}, max {during[-1] * 1e3:.1f}"
    )
    assert not stuck.done()
    data = await tap.one("drive.error", drives[0], within=40)
    assert "does not answer" in data["cause"]
    assert not (await pods[1].stats()).abnormal
    assert (await pods[0].stats()).abnormal

    await disks[0].resume()

    await node.client.drive_when(drives[0], lambda d: d.record.status is DriveStatus.READY, "it is Ready")
    await asyncio.gather(stuck, return_exceptions=True)
    await node.client.make_volume(drives[0], "pvc-stuck")


@pytest.mark.long
async def test_a_new_disk_is_seen_while_another_one_hangs(lab: Lab, tap: Tap) -> None:
    machine = await lab.boot(disks=2)
    first, second = Disk(machine, 0), Disk(machine, 1)
    await first.attach()
    node = await lab.node(machine, **{"scan-interval": 600})
    await node.client.make_drive(first.name)
    await first.hang()

    name = await second.attach()

    await tap.one("device.added", name, within=10)
    assert (await node.client.make_drive(name)) in {d.record.fsuuid for d in (await node.client.inventory()).drives}
    await first.resume()


async def test_what_is_asked_of_a_hung_drive_keeps_neither_its_pods_from_leaving_nor_others_from_an_answer(
    lab: Lab,
) -> None:
    node, disks, drives = await lab.node_with_drives(drives=2, **{"scan-interval": 600})
    idle = [f"pvc-idle-{index}" for index in range(CALLS)]
    for name in idle:
        await node.client.make_volume(drives[0], name)
    pods = []
    for index, drive in enumerate(drives):
        await node.client.make_volume(drive, f"pvc-{index}")
        pods.append(Pod(node, f"pvc-{index}"))
        await pods[index].start()
    await node.hand.sh(f"fsfreeze -f {ROOT}/mnt/{drives[0]}; fsfreeze -u {ROOT}/mnt/{drives[0]}")  # nothing is dirty
    await node.hand.sh("for i in $(seq 12); do echo 3 > /proc/sys/vm/drop_caches; done")  # nor kept beside the disk

    await disks[0].hang()
    asked = [
        asyncio.create_task(call)
        for name in idle
        for call in (
            node.client.ask(Node.VOLUME_STATS, StatVolume(name=name, volume_path=f"/tmp/{name}")),
            node.client.unpublish(name, f"/tmp/{name}"),
        )
    ]
    _, waiting = await asyncio.wait(asked, timeout=3)
    try:
        began = time.perf_counter()
        assert not (await pods[1].stats()).abnormal
        await pods[0].stop()
        print(f"{len(waiting)} calls wait; statistics, and a pod that leaves: {time.perf_counter() - began:.1f} s")
    finally:
        await disks[0].resume()
        await asyncio.gather(*asked, return_exceptions=True)
