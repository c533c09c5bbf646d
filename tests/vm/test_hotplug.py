"""Drives that come, go and come back under a running agent."""

import shutil
import signal
import time
from collections.abc import Awaitable
from pathlib import Path

import pytest

from directpv_common.protocol import api
from directpv_common.protocol.messages import DriveStatus, Empty, GetVolumeHealth, VolumeHealth, VolumeRecord
from support.guest.disks import Disk
from support.guest.lab import Lab, Tap
from support.guest.node import AGENT, ROOT, Node, Pod
from support.node_client import MIB, eventually


def copy_of(lab: Lab, disk: Path) -> Path:
    """Copy a disk, as if it had been carried over."""
    return Path(shutil.copy(disk, lab.directory / f"copy-of-{disk.name}"))


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


async def ailments(node: Node, volume: str) -> list[str]:
    health: VolumeHealth = await node.client.ask(api.Node.VOLUME_HEALTH, GetVolumeHealth(name=volume))
    return [each.reason for each in health.ailments]


async def test_a_container_that_ran_while_its_disk_was_away_is_told_of_until_it_is_restarted(
    lab: Lab, tap: Tap
) -> None:
    node, (disk,), (drive,) = await lab.node_with_drives(drives=1)
    for name in ("pvc-0", "pvc-1"):
        await node.client.make_volume(drive, name)
    pods = [Pod(node, name) for name in ("pvc-0", "pvc-1")]
    for pod in pods:
        await pod.start()
    container = ("unshare", "--mount", "sh", "-ec", f"umount -l {pods[1].target} {pods[1].staging}; exec sleep 3600")
    await node.hand.start("container", *container)
    assert (await pods[0].write("before", "kept")).code == 0
    await disk.pull()
    await tap.one("drive.lost", drive)

    await disk.put_back()

    told = await tap.one("volume.left-behind", "pvc-0")
    assert "sleep" in told["cause"]
    assert "restart the pod" in told["advice"]
    assert await ailments(node, "pvc-0") == ["VolumeLeftBehind"]
    assert await ailments(node, "pvc-1") == []
    assert (await pods[0].read("before")).out == "kept"
    stats = await pods[0].stats()
    assert stats.abnormal
    assert "restart the pod" in stats.condition
    await node.restart_agent()
    await eventually(lambda: _equal(ailments(node, "pvc-0"), ["VolumeLeftBehind"]), "an agent that was killed knows")

    await node.hand.signal("container", signal.SIGKILL)
    await node.hand.start("restarted", *container)

    await eventually(lambda: _equal(ailments(node, "pvc-0"), []), "it is well with its pod's restart")


async def _equal(found: Awaitable[list[str]], wanted: list[str]) -> bool:
    return await found == wanted


async def test_an_agent_that_was_killed_while_a_drive_was_out_still_knows_which_dead_mounts_are_its(lab: Lab) -> None:
    node, disks, drives = await lab.node_with_drives()
    await node.client.make_volume(drives[0], "pvc-0")
    pod = Pod(node, "pvc-0")
    await pod.start()
    assert (await pod.write("before", "kept")).code == 0
    await disks[0].pull()
    await node.client.drive_when(drives[0], lambda d: d.record.status is DriveStatus.LOST, "it is Lost")
    await node.end(AGENT)
    await node.hand.run("umount", "-l", f"{ROOT}/mnt/{drives[0]}")  # as the agent does before it mounts the drive anew

    name = await disks[0].put_back()
    await node.start_agent()

    held = await node.client.drive_when(drives[0], lambda d: d.record.status is DriveStatus.READY, "it is Ready")
    assert held.record.device == name
    assert (await pod.read("before")).out == "kept"
    await pod.stop()
    assert "pvc-0" not in await node.hand.run("cat", "/proc/self/mountinfo")


async def test_a_new_disk_is_told_of_and_discovered_without_a_scan(lab: Lab, tap: Tap) -> None:
    machine = await lab.boot(disks=1)
    node = await lab.node(machine, **{"scan-interval": 600})
    disk = Disk(machine, 0, serial="cafe01")

    began = time.monotonic()
    name = await disk.attach()
    there = time.monotonic()

    assert (await tap.one("device.added", name, within=10))["size"] == 600 * MIB
    heard = tap.heard("device.added", name)
    print(f"device.added on the bus {heard - began:.2f} s after wiring began, {heard - there:+.2f} s after it ended")
    devices = (await node.client.ask(api.Node.DEVICE_LIST, Empty())).devices
    assert [(device.name, device.denied) for device in devices] == [(name, ())]


async def test_a_drive_pulled_while_it_is_written_to_harms_no_other(lab: Lab, tap: Tap) -> None:
    node, disks, drives = await lab.node_with_drives(**{"scan-interval": 600})
    for index, drive in enumerate(drives):
        await node.client.make_volume(drive, f"pvc-{index}", 200)
    pods = [Pod(node, f"pvc-{index}") for index in range(2)]
    for pod in pods:
        await pod.start()
    flood = f"while dd if=/dev/zero of={pods[0].target}/flood bs=1M count=100 conv=fsync; do echo round; done; exit 7"
    await node.hand.start("flood", "sh", "-c", flood)
    await eventually(lambda: node.hand.exists(f"{pods[0].target}/flood"), "it is written to")

    began = time.monotonic()
    await disks[0].pull()

    await tap.one("drive.lost", drives[0], within=10)
    print(f"disk pulled to drive.lost on the bus: {tap.heard('drive.lost', drives[0]) - began:.2f} s")
    assert await node.hand.wait("flood") == 7
    assert (await pods[0].stats()).abnormal
    assert (await pods[1].write("neighbour", "well")).code == 0
    await node.client.make_volume(drives[1], "pvc-new")
    failed = await node.client.prepare(VolumeRecord(name="pvc-more", fsuuid=drives[0], capacity=20 * MIB))
    assert "Lost" in failed["pvc-more"]
    await pods[0].stop()

    name = await disks[0].put_back()

    held = await node.client.drive_when(drives[0], lambda d: d.record.status is DriveStatus.READY, "it is Ready")
    assert held.record.device == name
    await pods[0].start()
    assert (await pods[0].write("after", "again")).code == 0


@pytest.mark.long
async def test_a_drive_of_another_node_is_reported_and_left_alone(lab: Lab, tap: Tap) -> None:
    first, disks, drives = await lab.node_with_drives("n1", 1)
    await first.client.make_volume(drives[0], "pvc-1")
    await disks[0].pull()
    await tap.one("drive.lost", drives[0])
    machine = await lab.boot("n2", files=[copy_of(lab, first.machine.disks[0])])
    before = machine.disks[0].read_bytes()
    second = await lab.node(machine)
    tap.clear()

    await Disk(machine, 0).attach()

    assert "belongs to node n1" in (await tap.one("drive.conflict", drives[0]))["cause"]
    assert (await second.client.inventory()).drives == ()
    await second.hand.run("sync")
    assert machine.disks[0].read_bytes() == before
