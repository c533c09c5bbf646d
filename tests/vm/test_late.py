"""What is late is not dead: slow disks; and what a look at a drive may not cost the next mount."""

import sys

import pytest

from directpv_common.protocol.messages import DriveStatus
from support.guest.lab import Lab
from support.guest.node import AGENT, ROOT

LOOK = """
import sys
from directpv_nodeagent.drives.filesystem import xfs
device, fsuuid, root = sys.argv[1:]
with xfs.inspected(device, fsuuid, root, recover=True) as path:
    print(path)
"""


@pytest.mark.parametrize("delay", [60])
async def test_a_disk_that_needs_longer_to_be_read_than_a_scan_waits_comes_back_all_the_same(
    lab: Lab, delay: int
) -> None:
    node, (disk,), (drive,) = await lab.node_with_drives(drives=1)
    await disk.pull()
    await node.client.drive_when(drive, lambda held: held.record.status is DriveStatus.LOST, "lost")
    await disk.delay(delay)
    await disk.put_back()

    await node.client.drive_when(drive, lambda held: held.record.status is DriveStatus.READY, "ready again")


async def test_a_look_at_a_drive_with_its_log_replayed_leaves_its_quota_in_force(lab: Lab) -> None:
    node, _, (drive,) = await lab.node_with_drives(drives=1)
    await node.client.make_volume(drive, "pvc-1")
    device = f"/dev/{(await node.client.held(drive)).record.device}"
    await node.end(AGENT)
    await node.hand.run("umount", f"{ROOT}/mnt/{drive}")
    flags = ("xfs_db", "-r", "-c", "sb 0", "-c", "p qflags", device)
    before = await node.hand.run(*flags)
    assert before.split()[-1] not in ("0", "0x0")

    await node.hand.run(sys.executable, "-c", LOOK, device, drive, ROOT)

    assert await node.hand.run(*flags) == before, "else the next mount would count every file"
