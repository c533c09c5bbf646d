"""Files are limited as bytes are: no volume takes with empty files what its neighbours were promised."""

from directpv_common.protocol import api
from directpv_common.protocol.inodes import DEFAULT, INODE, inodes_of
from directpv_common.protocol.messages import DriveStatus, StatVolume, VolumeStats
from directpv_common.protocol.names import BYTES_PER_INODE
from support.guest.disks import Disk
from support.guest.kubelet import Kubelet
from support.guest.lab import Lab
from support.guest.node import ROOT, Node
from support.node_client import MIB
from vm.test_quota import SLACK, UPSTREAM, make_by_hand

MAKE = b"""
import os, sys
top, most = sys.argv[1], int(sys.argv[2])
made = 0
try:
    while made < most:
        folder = f"{top}/{made}"
        os.mkdir(folder)
        made += 1
        while made < most and made % 2000:
            os.close(os.open(f"{folder}/{made}", os.O_CREAT | os.O_WRONLY))
            made += 1
except OSError as error:
    print(made, error.strerror)
else:
    print(made, "all")
"""
FAR_TOO_MANY = 10_000_000


async def make_files(node: Node, directory: str, most: int = FAR_TOO_MANY) -> tuple[int, str]:
    """Make empty files; return how many were made, and what stopped it."""
    await node.hand.write("/run/make.py", MAKE)
    made, _, why = (await node.hand.run("python3", "/run/make.py", directory, str(most), within=200)).partition(" ")
    return int(made), why.strip()


async def stats(used: Kubelet) -> VolumeStats:
    request = StatVolume(name=used.name, volume_path=used.target)
    return await used.node.client.ask(api.Node.VOLUME_STATS, request)  # type: ignore[no-any-return]


async def test_volumes_full_of_empty_files_leave_their_neighbour_all_that_it_was_promised(lab: Lab) -> None:
    node, _, drives = await lab.node_with_drives(drives=1)
    held = await node.client.held(drives[0])
    free = held.record.total - held.record.overhead
    first = Kubelet(node, await node.client.make_volume(drives[0], "pvc-a", 200))
    rest = free // MIB - 200
    neighbour = Kubelet(node, await node.client.make_volume(drives[0], "pvc-b", rest))
    await first.start()
    await neighbour.start()

    made, why = await make_files(node, first.target)

    assert why == "No space left on device"
    said = await stats(first)
    assert (said.inodes_used, said.inodes_total, said.inodes_free) == (made + 1, made + 1, 0)
    assert made + 1 == inodes_of(200 * MIB, DEFAULT)
    assert (await stats(neighbour)).inodes_total == inodes_of(rest * MIB, DEFAULT)
    assert (await make_files(node, neighbour.target, inodes_of(rest * MIB, DEFAULT) - 2))[1] == "all"
    charged = (await stats(neighbour)).used
    assert await neighbour.fill("data") >= rest * MIB - charged - SLACK
    assert (await first.write("late", 4096)).code != 0  # not for want of bytes
    await node.hand.sh(f"rm -r {first.target}/0")
    charged = (await stats(first)).used
    assert await first.fill("data") >= 200 * MIB - charged - SLACK


async def test_a_class_that_asks_for_more_files_pays_with_bytes_of_its_own_volume_and_both_grow(lab: Lab) -> None:
    node, _, drives = await lab.node_with_drives(drives=1)
    record = await node.client.make_volume(drives[0], "pvc-1", 20, parameters={BYTES_PER_INODE: "4096"})
    used = Kubelet(node, record)
    await used.start()

    said = await stats(used)
    more = inodes_of(20 * MIB, 4096) - inodes_of(20 * MIB, DEFAULT)
    assert said.inodes_total == inodes_of(20 * MIB, 4096)
    assert said.total == 20 * MIB - more * INODE == (await used.space())[0]

    await used.expand(40 * MIB)

    assert (await stats(used)).inodes_total == inodes_of(40 * MIB, 4096)
    assert (await make_files(node, used.target))[0] + 1 == inodes_of(40 * MIB, 4096)


async def test_a_volume_of_many_small_files_that_upstream_made_can_be_filled_as_it_was_so_far(lab: Lab) -> None:
    machine = await lab.boot(disks=1)
    disk = Disk(machine, 0)
    await disk.attach()
    fsuuid = await make_by_hand(machine, disk, UPSTREAM[0])
    before = Node(machine, lab.bus, lab.nats.url)
    assert (await make_files(before, f"{ROOT}/mnt/{fsuuid}/{UPSTREAM[0]}", 5000))[1] == "all"

    node = await lab.node(machine)
    held = await node.client.drive_when(fsuuid, lambda d: d.record.status is DriveStatus.READY, "it is adopted")
    used = Kubelet(node, held.volumes[0].record)
    used.context = {}
    await used.start()

    said = await stats(used)
    assert said.inodes_used > 5000 > inodes_of(said.total, DEFAULT)
    assert said.inodes_total >= said.inodes_used * said.total // said.used or said.inodes_total >= said.total // 1024
    assert (await used.write("more", 4096)).code == 0
