"""Faults of a drive: each is told with cause and advice, stays where it is, and is over when its cause is."""

import asyncio
import signal
from dataclasses import dataclass

import pytest

from directpv_common.protocol.messages import ConditionType, DriveStatus, HeldDrive
from support.guest.disks import Disk
from support.guest.lab import Lab, Tap
from support.guest.node import AGENT, ROOT, Node, Pod
from support.node_client import eventually


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

    async def is_covered(self) -> bool:
        return "directpv-cover" in await self.node.hand.run("cat", "/proc/self/mountinfo")

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


@pytest.mark.long
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


@pytest.mark.long
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


async def test_reads_that_fail_put_a_drive_in_error_until_they_go_well(scene: Scene) -> None:
    await scene.disk.fail_reads()

    held = await scene.becomes(DriveStatus.ERROR)

    assert held.record.conditions[0].type is ConditionType.IO_ERROR
    await scene.told("drive.error", "Input/output error")
    await scene.check_neighbour()
    await scene.disk.heal()
    await scene.becomes(DriveStatus.READY)
    assert (await scene.pod.write("after", "again")).code == 0


@pytest.mark.long
async def test_a_failed_file_system_that_a_container_holds_is_mounted_anew_when_that_ends(scene: Scene) -> None:
    hold = f"mount --make-rprivate /; mount --bind {scene.pod.target} /mnt; exec sleep 600"
    await scene.node.hand.start("container", "unshare", "--mount", "sh", "-ec", hold)
    await scene.disk.fail_writes()
    assert (await scene.pod.write("lost", "x")).code != 0
    await scene.becomes(DriveStatus.ERROR)
    await scene.disk.heal()
    held = await scene.node.client.drive_when(
        scene.drive, lambda d: any("(sleep)" in c.message for c in d.record.conditions), "the holder is named"
    )
    assert held.record.status is DriveStatus.ERROR

    await scene.node.hand.signal("container", signal.SIGKILL)

    await scene.becomes(DriveStatus.READY)
    assert (await scene.pod.read("before")).out == "kept"
    assert (await scene.pod.write("after", "again")).code == 0
    assert not await scene.is_covered()


async def test_an_agent_that_was_killed_while_volumes_were_covered_uncovers_them(scene: Scene) -> None:
    pod, hand = scene.pod, scene.node.hand
    await scene.disk.fail_writes()
    assert (await pod.write("lost", "x")).code != 0
    await scene.becomes(DriveStatus.ERROR)
    await eventually(lambda: scene.is_covered(), "the places of the volume are covered")
    assert (await pod.write("elsewhere", "x")).code != 0
    await scene.node.end(AGENT)
    await scene.disk.heal()

    await scene.node.start_agent()

    await scene.becomes(DriveStatus.READY)
    assert (await pod.read("before")).out == "kept"
    assert (await pod.write("after", "again")).code == 0
    await pod.stop()
    assert "pvc-0" not in await hand.run("cat", "/proc/self/mountinfo")


@pytest.mark.long
async def test_a_drive_that_comes_and_goes_ends_well(scene: Scene) -> None:
    for _ in range(4):
        await scene.disk.pull()
        await scene.disk.put_back()

    await scene.becomes(DriveStatus.READY)
    assert (await scene.pod.read("before")).out == "kept"
    assert (await scene.pod.write("after", "again")).code == 0
    await scene.check_neighbour()


@pytest.mark.long
async def test_a_clone_beside_its_drive_is_told_of_and_not_mounted(lab: Lab, tap: Tap) -> None:
    machine = await lab.boot(disks=2)
    disk, clone = Disk(machine, 0), Disk(machine, 1)
    await disk.attach()
    node = await lab.node(machine)
    drive = await node.client.make_drive(disk.name)
    await node.client.make_volume(drive, "pvc-1")
    pod = Pod(node, "pvc-1")
    await pod.start()
    await pod.write("before", "kept")
    await node.hand.run("dd", f"if=/dev/{disk.name}", f"of={machine.disk_device(1)}", "bs=4M", "conv=fsync")

    await clone.attach()

    held = await node.client.drive_when(drive, lambda d: bool(d.record.conditions), "is warned of")
    assert (held.record.status, held.record.conditions[0].type) == (DriveStatus.READY, ConditionType.DUPLICATE)
    assert (await tap.one("drive.warning", drive))["advice"]
    assert f"/dev/{clone.name} " not in await node.hand.run("cat", "/proc/self/mountinfo")
    assert (await pod.write("meanwhile", "served")).code == 0

    await clone.pull()

    await node.client.drive_when(drive, lambda d: not d.record.conditions, "has no warning")
    assert (await pod.read("meanwhile")).out == "served"


@pytest.mark.long
async def test_scans_alone_reach_the_end_state_that_events_reach(lab: Lab, tap: Tap) -> None:
    node, disks, drives = await lab.node_with_drives()
    await node.client.make_volume(drives[0], "pvc-0")
    pod = Pod(node, "pvc-0")
    await pod.start()
    await pod.write("before", "kept")
    await node.restart_agent(**{"device-events": "off"})
    listening = (await node.log()).count("listening for device events")

    await disks[0].pull()
    await node.client.drive_when(drives[0], lambda d: d.record.status is DriveStatus.LOST, "is Lost")
    name = await disks[0].put_back()
    held = await node.client.drive_when(drives[0], lambda d: d.record.status is DriveStatus.READY, "is Ready")

    assert held.record.device == name
    assert (await pod.read("before")).out == "kept"
    await disks[1].fail_writes()
    assert (
        await node.hand.attempt("sh", "-c", f"echo x > {ROOT}/mnt/{drives[1]}/x; sync -f {ROOT}/mnt/{drives[1]}")
    ).code
    await node.client.drive_when(drives[1], lambda d: d.record.status is DriveStatus.ERROR, "is Error")
    await disks[1].heal()
    await node.client.drive_when(drives[1], lambda d: d.record.status is DriveStatus.READY, "is Ready")
    assert listening == (await node.log()).count("listening for device events") == 1
