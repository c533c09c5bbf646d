"""Drives that come, go and come back under a running agent."""

from directpv_common.messages import DriveStatus
from support.guest.lab import Lab, Tap
from support.guest.node import Pod


async def test_a_pulled_drive_is_lost_and_served_again_when_it_is_put_back(lab: Lab, tap: Tap) -> None:
    node, disks, drives = await lab.node_with_drives()
    for index, drive in enumerate(drives):
        await node.client.make_volume(drive, f"pvc-{index}")
    pods = [Pod(node, f"pvc-{index}") for index in range(2)]
    for pod in pods:
        await pod.start()
    assert (await pods[0].write("before", "kept")).code == 0

    await disks[0].pull()

    assert "no device" in (await tap.one("drive.lost", drives[0], within=5))["cause"]
    stats = await pods[0].stats()
    assert stats.abnormal
    assert (await pods[1].write("neighbour", "well")).code == 0

    name = await disks[0].put_back()

    held = await node.client.drive_when(drives[0], lambda d: d.record.status is DriveStatus.READY, "it is Ready")
    assert held.record.device == name
    assert (await pods[0].read("before")).out == "kept"
    assert (await pods[0].write("after", "again")).code == 0
