"""What is late is not dead: slow disks; and what a look at a drive may not cost the next mount."""

import sys

import pytest

from directpv_common.protocol.messages import DriveStatus, RepairOutcome
from directpv_nodeagent.layout.core.layout import PROOF_FILE
from support.guest.lab import Lab, Tap
from support.guest.node import AGENT, ROOT, Node, Pod
from support.node_client import eventually
from vm.repairing import repair

LOOK = """
import sys
from directpv_nodeagent.drives.filesystem import xfs
device, fsuuid, root = sys.argv[1:]
with xfs.inspected(device, fsuuid, root, recover=True) as path:
    print(path)
"""


@pytest.mark.long
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


@pytest.mark.timeout(300)
async def test_a_mounted_disk_whose_requests_take_seconds_is_no_failed_one(lab: Lab, tap: Tap) -> None:
    node, (disk,), (drive,) = await lab.node_with_drives(drives=1)
    await node.client.make_volume(drive, "pvc-1")
    pod = Pod(node, "pvc-1")
    await pod.start()
    proof = f"{ROOT}/mnt/{drive}/.directpv/{PROOF_FILE}"
    for number in range(20):  # so much that the drive is proven
        assert (await pod.write(f"f{number}", "fast")).code == 0
    await disk.delay(6000)

    await eventually(lambda: _is_there(node, proof), "a proof has begun", 90)
    for number in range(2):  # longer than a look may take if nothing moves
        assert (await pod.write(f"s{number}", "slow")).code == 0

    await disk.heal()
    await node.client.drive_when(drive, lambda held: not held.record.conditions, "it is well again")
    assert tap.of("drive.error", drive) == []
    assert (await pod.read("s1")).out == "slow"


async def _is_there(node: Node, path: str) -> bool:
    return (await node.hand.attempt("test", "-e", path)).code == 0


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_a_repair_on_a_slow_disk_ends_as_the_file_system_is(lab: Lab) -> None:
    node, (disk,), (drive,) = await lab.node_with_drives(drives=1)
    await disk.delay(150)

    status = await repair(node, drive, within=300)

    assert status.outcome is RepairOutcome.CLEAN, status
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
