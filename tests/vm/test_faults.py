"""Faults of a drive: each is told with cause and advice, stays where it is, and is over when its cause is."""

import asyncio
from dataclasses import dataclass

import pytest

from directpv_common.messages import ConditionType, DriveStatus, HeldDrive
from support.guest.disks import Disk
from support.guest.lab import Lab, Tap
from support.guest.node import ROOT, Node, Pod


@dataclass
class Scene:
    """A node with two drives, one of which shall fail, and a pod on each."""

    node: Node
    disk: Disk
    drive: str
    pod: Pod
    neighbour: Pod
    tap: Tap

    async def becomes(self, status: DriveStatus) -> HeldDrive:
        return await self.node.client.drive_when(self.drive, lambda d: d.record.status is status, f"is {status}")

    async def has_warning(self, condition: ConditionType) -> HeldDrive:
        return await self.node.client.drive_when(
            self.drive, lambda d: any(c.type is condition for c in d.record.conditions), f"has {condition}"
        )

    async def has_no_condition(self) -> HeldDrive:
        return await self.node.client.drive_when(self.drive, lambda d: not d.record.conditions, "has no condition")

    async def check_neighbour(self) -> None:
        assert (await self.neighbour.write("still", "well")).code == 0
        assert not (await self.neighbour.stats()).abnormal

    async def told(self, kind: str, words: str) -> None:
        data = await self.tap.one(kind, self.drive)
        assert words in data["cause"]
        assert data["advice"]

    async def check_abnormal(self, words: str) -> None:
        stats = await self.pod.stats()
        assert stats.abnormal
        assert words in stats.condition


@pytest.fixture
async def scene(lab: Lab, tap: Tap) -> Scene:
    node, disks, drives = await lab.node_with_drives()
    for index, drive in enumerate(drives):
        await node.client.make_volume(drive, f"pvc-{index}")
    pods = [Pod(node, f"pvc-{index}") for index in range(2)]
    for pod in pods:
        await pod.start()
    assert (await pods[0].write("before", "kept")).code == 0
    return Scene(node, disks[0], drives[0], pods[0], pods[1], tap)


async def test_a_disk_that_answers_no_more_reads_and_writes_is_in_error_until_it_does(scene: Scene) -> None:
    await scene.disk.fail()
    assert (await scene.pod.write("lost", "x")).code != 0

    held = await scene.becomes(DriveStatus.ERROR)

    assert held.record.conditions[0].type is ConditionType.IO_ERROR
    await scene.told("drive.error", "")
    await scene.check_abnormal("IOError")
    await scene.check_neighbour()

    await scene.disk.heal()

    await scene.becomes(DriveStatus.READY)
    assert (await scene.pod.read("before")).out == "kept"


async def test_writes_that_fail_shut_the_file_system_down_and_it_is_mounted_anew_when_they_go_well(
    scene: Scene,
) -> None:
    await scene.disk.fail_writes()
    assert (await scene.pod.write("lost", "x")).code != 0
    held = await scene.becomes(DriveStatus.ERROR)
    assert held.record.conditions[0].type is ConditionType.IO_ERROR
    await scene.told("drive.error", "shut down")
    await scene.check_neighbour()

    await scene.disk.heal()

    await scene.becomes(DriveStatus.READY)
    assert (await scene.pod.read("before")).out == "kept"
    assert (await scene.pod.write("after", "again")).code == 0
    assert not (await scene.pod.stats()).abnormal


async def test_a_drive_remounted_read_only_is_in_error_until_it_is_writable(scene: Scene) -> None:
    path = f"{ROOT}/mnt/{scene.drive}"
    await scene.node.hand.run("mount", "-o", "remount,ro", path)
    held = await scene.becomes(DriveStatus.ERROR)
    assert held.record.conditions[0].type is ConditionType.MOUNT_ERROR
    await scene.told("drive.error", "read-only")
    await scene.check_abnormal("read-only")
    await scene.check_neighbour()

    await scene.node.hand.run("mount", "-o", "remount,rw", path)

    await scene.becomes(DriveStatus.READY)
    assert (await scene.pod.write("after", "again")).code == 0


async def test_a_slow_drive_is_told_of_and_serves_on(scene: Scene) -> None:
    await scene.disk.delay(2000)
    writing = asyncio.create_task(scene.pod.write("slow", "x"))

    await scene.has_warning(ConditionType.SLOW)

    await scene.told("drive.warning", "take")
    await scene.check_neighbour()
    assert (await writing).code == 0
    await scene.disk.heal()
    for _ in range(3):
        assert (await scene.pod.write("fast", "x")).code == 0
    await scene.has_no_condition()
    await scene.tap.one("drive.warning-ended", scene.drive)


async def test_a_drive_filled_by_others_is_told_of_until_there_is_room(scene: Scene) -> None:
    path = f"{ROOT}/mnt/{scene.drive}"
    await scene.node.hand.attempt("dd", "if=/dev/zero", f"of={path}/foreign", "bs=1M", "count=2000")

    await scene.has_warning(ConditionType.FULL)

    await scene.told("drive.warning", "left")
    await scene.check_neighbour()
    await scene.node.hand.run("rm", f"{path}/foreign")
    await scene.has_no_condition()
    assert (await scene.pod.write("after", "again")).code == 0


async def test_a_damaged_super_block_is_told_of_and_the_drive_stays_known(scene: Scene) -> None:
    device = f"/dev/{scene.disk.name}"
    first = await scene.node.hand.run("sh", "-c", f"dd if={device} bs=4096 count=1 iflag=direct status=none | base64")
    await scene.node.hand.run(
        "dd", "if=/dev/zero", f"of={device}", "bs=4096", "count=1", "oflag=direct", "conv=notrunc"
    )

    held = await scene.becomes(DriveStatus.ERROR)

    assert held.record.conditions[0].type is ConditionType.MOUNT_ERROR
    await scene.told("drive.error", "super block")
    await scene.check_neighbour()

    restore = f"base64 -d | dd of={device} bs=4096 count=1 oflag=direct conv=notrunc status=none"
    await scene.node.hand.run("sh", "-c", restore, input=first.encode())
    await scene.becomes(DriveStatus.READY)
    assert (await scene.pod.read("before")).out == "kept"
