"""A volume's size is a limit that holds: in the kernel, not in somebody's head."""

import signal
import uuid

import pytest

from directpv_common.protocol.messages import DriveStatus
from directpv_common.protocol.names import project_id
from support.guest.disks import Disk
from support.guest.kubelet import Kubelet
from support.guest.lab import Lab, Tap
from support.guest.node import AGENT, ROOT, Node
from support.guest.uml import Uml
from support.node_client import MIB, eventually

SIZE = 20 * MIB
LARGER = 32 * MIB
SLACK = 64 * 1024
"""Bytes that the directory itself may take of the limit."""
UPSTREAM = ("pvc-11111111-2222-3333-4444-555555555555", "pvc-00000000-0000-0000-0000-000000000001")


async def volume(node: Node, drive: str, name: str) -> Kubelet:
    """Make a volume of ``SIZE``, and start using it."""
    used = Kubelet(node, await node.client.make_volume(drive, name, SIZE // MIB))
    await used.start()
    return used


async def check_limit(used: Kubelet, size: int, taken: int = 0) -> None:
    """Fill the volume: it takes what its size and nothing less, of which ``taken`` bytes are used already."""
    shown, available = await used.space()
    assert shown == size
    assert size - taken - SLACK <= available <= size - taken
    assert size - taken - SLACK <= await used.fill("more") <= size - taken
    assert (await used.space())[1] <= SLACK


async def empty(used: Kubelet) -> None:
    await used.node.hand.run("rm", f"{used.target}/more")
    await used.node.hand.run("sync")


async def test_a_volume_takes_its_size_and_no_more_until_it_is_expanded_and_its_neighbour_has_its_own(
    lab: Lab,
) -> None:
    node, _, drives = await lab.node_with_drives(drives=1)
    first, neighbour = await volume(node, drives[0], "pvc-1"), await volume(node, drives[0], "pvc-2")

    assert (await first.write("early", 4 * MIB)).code == 0
    await check_limit(first, SIZE, taken=4 * MIB)

    assert (await neighbour.write("whole", SIZE)).code == 0
    assert "No space left on device" in (await neighbour.write("byte", 4096)).err

    assert await first.expand(LARGER) == LARGER
    assert (await first.space())[0] == LARGER
    assert (await first.write("later", 4 * MIB)).code == 0
    await empty(first)
    await check_limit(first, LARGER, taken=8 * MIB)
    assert (await neighbour.space())[0] == SIZE


@pytest.mark.timeout(240)
async def test_the_limit_survives_a_killed_agent_a_remount_and_a_power_failure(lab: Lab) -> None:
    node, (disk,), drives = await lab.node_with_drives(drives=1)
    used = await volume(node, drives[0], "pvc-1")
    assert (await used.write("kept", 4 * MIB)).code == 0
    assert await used.expand(LARGER) == LARGER

    await node.restart_agent()
    await check_limit(used, LARGER, taken=4 * MIB)
    await empty(used)

    await node.end(AGENT)
    await node.hand.run("umount", used.target, used.staging, f"{ROOT}/mnt/{drives[0]}")
    await node.start_agent()
    await used.start()
    await check_limit(used, LARGER, taken=4 * MIB)
    await empty(used)

    await lab.reboot(node.machine)  # type: ignore[arg-type]
    await disk.attach()
    await node.start_agent()
    await node.start_gateway()
    await used.start()
    await check_limit(used, LARGER, taken=4 * MIB)


async def make_by_hand(machine: Uml, disk: Disk, volume: str) -> str:
    """Make a drive with one volume as upstream v4 does, leave it mounted where upstream has it, and return its id."""
    fsuuid, project = str(uuid.uuid4()), project_id(volume)
    place = f"{ROOT}/mnt/{fsuuid}"
    await machine.hand.sh(
        f"""
        mkfs.xfs -q -i maxpct=50 -m uuid={fsuuid} -L DIRECTPV /dev/{disk.name}
        mkdir -p {place}
        mount -t xfs -o noatime,prjquota /dev/{disk.name} {place}
        ln -s . {place}/.FSUUID.{fsuuid}
        mkdir -m 0750 {place}/.directpv
        printf 'APP_NAME=directpv\\nAPP_VERSION=v1beta1\\nFSUUID={fsuuid}\\n' > {place}/.directpv/meta.info
        chmod 0640 {place}/.directpv/meta.info
        mkdir -m 0755 {place}/{volume}
        xfs_quota -x -c 'project -s -p {place}/{volume} {project}' \
            -c 'limit -p bsoft={SIZE} bhard={SIZE} {project}' {place}
        head -c {4 * MIB} /dev/zero > {place}/{volume}/old
        sync
        """
    )
    return fsuuid


async def project_of(node: Node, path: str) -> int:
    """Return the project id of a file or directory."""
    return int((await node.hand.run("xfs_io", "-r", "-c", "lsproj", path)).rpartition("=")[2])


async def test_drives_of_upstream_are_adopted_mounted_or_not_with_their_volumes_whose_limits_go_on_to_bind(
    lab: Lab,
) -> None:
    machine = await lab.boot(disks=2)
    disks = [Disk(machine, 0), Disk(machine, 1)]
    for disk in disks:
        await disk.attach()
    made = [(await make_by_hand(machine, disk, name), name) for disk, name in zip(disks, UPSTREAM, strict=True)]
    await machine.hand.run("umount", f"{ROOT}/mnt/{made[1][0]}")

    node = await lab.node(machine)

    for fsuuid, name in made:
        held = await node.client.drive_when(fsuuid, lambda d: d.record.status is DriveStatus.READY, "it is adopted")
        assert [(v.record.name, v.record.capacity) for v in held.volumes] == [(name, SIZE)]
        used = Kubelet(node, held.volumes[0].record)
        used.context = {}
        await used.start()
        assert await project_of(node, used.target) == project_id(name)
        await check_limit(used, SIZE, taken=4 * MIB)


async def test_a_volume_that_lost_its_record_is_found_by_its_limit_and_is_the_same_one_still(lab: Lab) -> None:
    node, _, (drive,) = await lab.node_with_drives(drives=1)
    await node.client.make_volume(drive, "pvc-1", SIZE // MIB, incarnation="bb")
    await node.end(AGENT)
    await node.hand.sh(f"echo '{{' > {ROOT}/mnt/{drive}/.directpv/volumes/pvc-1.json")
    await node.start_agent()

    held = await node.client.drive_when(drive, lambda d: bool(d.volumes), "it is found")

    (record,) = (found.record for found in held.volumes)
    assert (record.name, record.capacity, record.incarnation) == ("pvc-1", SIZE, "bb")


async def test_a_volume_that_lost_its_project_id_gets_it_back_when_it_is_staged_for_its_old_files_too(
    lab: Lab,
) -> None:
    node, _, drives = await lab.node_with_drives(drives=1)
    used = await volume(node, drives[0], "pvc-1")
    await node.hand.run("mkdir", f"{used.target}/deep")
    assert (await used.write("deep/old", 4 * MIB)).code == 0
    assert (await used.write("older", 2 * MIB)).code == 0
    await used.stop()
    directory = f"{ROOT}/mnt/{drives[0]}/pvc-1"
    await node.hand.run("xfs_io", "-c", "chproj -R 0", "-c", "chattr -R -P", directory)
    await node.hand.run("xfs_io", "-c", "chproj 0", f"{directory}/deep/old", "-c", "lsproj")
    assert await project_of(node, f"{directory}/deep/old") == 0

    await used.start()

    for path in ("", "/older", "/deep", "/deep/old"):
        assert await project_of(node, f"{used.target}{path}") == project_id("pvc-1")
    await check_limit(used, SIZE, taken=6 * MIB)


async def test_space_of_a_removed_volume_is_given_away_when_its_deleted_files_are_closed(lab: Lab, tap: Tap) -> None:
    node, _, drives = await lab.node_with_drives(drives=1)
    removed = await volume(node, drives[0], "pvc-1")
    assert (await removed.write("data", 4 * MIB)).code == 0
    await node.hand.start("reader", "sh", "-c", f"exec 3<{removed.target}/data; cd /; exec sleep 600")
    await eventually(lambda: _has_open(node), "the file is open")
    await removed.stop()

    assert not await node.client.remove(drives[0], "pvc-1")

    told = await tap.one("volume.purge-held", "pvc-1")
    assert "4 MiB" in told["cause"]
    assert "(sleep)" in told["cause"]
    assert (await node.client.held(drives[0])).purging == ("pvc-1",)
    await node.hand.signal("reader", signal.SIGKILL)
    await node.client.drive_when(drives[0], lambda held: not held.purging, "it is closed")


async def _has_open(node: Node) -> bool:
    return "pvc-1" in await node.hand.sh("ls -l /proc/[0-9]*/fd/3 2>/dev/null | grep pvc-1 || true")
