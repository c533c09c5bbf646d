"""A disk that grows gives its drive more room, under quota and with volumes in use; repair leaves nothing behind."""

import pytest

from directpv_common.protocol.messages import DriveStatus, RepairOutcome
from support.guest.disks import Disk
from support.guest.lab import Lab, Tap
from support.guest.node import ROOT, Pod
from support.guest.uml import make_disk
from support.node_client import MIB
from vm.repairing import repair

SECTORS = 2048
"""In a MiB."""


@pytest.mark.long
async def test_a_disk_that_grows_under_a_pod_gives_its_drive_more_room(lab: Lab, tap: Tap) -> None:
    machine = await lab.boot(files=[make_disk(lab.directory / "disk.img", 1200 * MIB)])
    disk = Disk(machine, 0, length=600 * SECTORS)
    await disk.attach()
    node = await lab.node(machine, **{"scan-interval": 600})
    drive = await node.client.make_drive(disk.name)
    await node.client.make_volume(drive, "pvc-1", 100)
    pod = Pod(node, "pvc-1")
    await pod.start()
    before = (await node.client.held(drive)).record

    await disk.grow()

    told = await tap.one("drive.expanded", drive)
    after = (await node.client.held(drive)).record
    assert before.total == 600 * MIB
    assert after.total == 1200 * MIB == told["total"]
    on_disk = int(await node.hand.run("stat", "-f", "-c", "%f", f"{ROOT}/mnt/{drive}")) * 4096
    assert after.total - after.overhead <= on_disk
    assert (await pod.write("file", "written")).code == 0
    done = await node.hand.attempt("dd", "if=/dev/zero", f"of={pod.target}/fill", "bs=1M", "count=101")
    assert "No space left" in done.err
    await node.client.make_volume(drive, "pvc-2", 900)


async def test_a_drive_that_was_damaged_is_repaired_with_its_volumes_and_quota(lab: Lab, tap: Tap) -> None:
    node, disks, drives = await lab.node_with_drives(drives=1)
    await node.client.make_volume(drives[0], "pvc-1", 50)
    pod = Pod(node, "pvc-1")
    await pod.start()
    await pod.write("before", "kept")
    await pod.stop()
    device = f"/dev/{disks[0].name}"
    await node.hand.run("dd", "if=/dev/zero", f"of={device}", "bs=4096", "count=1", "oflag=direct", "conv=notrunc")
    await node.client.drive_when(drives[0], lambda d: d.record.status is DriveStatus.ERROR, "is Error")

    status = await repair(node, drives[0])

    assert status.outcome is RepairOutcome.REPAIRED, status
    await node.client.drive_when(drives[0], lambda d: d.record.status is DriveStatus.READY, "is Ready")
    await pod.start()
    assert (await pod.read("before")).out == "kept"
    done = await node.hand.attempt("dd", "if=/dev/zero", f"of={pod.target}/fill", "bs=1M", "count=51")
    assert "No space left" in done.err
