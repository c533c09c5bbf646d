"""What a disk may carry or be used for, each made by the tools that people use.

In the scripts, ``$dev`` is the disk and ``$name`` its kernel name.

ZFS and Ceph have no tools in a guest: what identifies them is written as their documentation has it (OpenZFS: on-disk
format, section 1.2, vdev labels with uberblocks; Ceph: ``bluestore_types``, the label in the first block).
"""

from dataclasses import dataclass
from typing import Final

from support.guest.disks import Disk

MINOR: Final = 200
"""Minor number of the device mapper's device that may become a drive."""
_MODULES: Final = "modprobe -d /run/modules -a"
_EXT4: Final = "mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 $dev"
_BTRFS: Final = "mkfs.btrfs -q -f $dev"
_MOUNT: Final = "mkdir -p /run/m/$name; mount $dev /run/m/$name; echo hello > /run/m/$name/file; sync"
_MOUNT_ELSEWHERE: Final = """
mkdir -p /run/m
unshare -m sh -c "mount $dev /run/m; exec sleep 1000" </dev/null >/dev/null 2>&1 &
for i in $(seq 400); do [ -e /sys/fs/ext4/$name ] && break; sleep 0.05; done"""
_HOLD: Final = 'dmsetup create held-$name --table "0 $(blockdev --getsz $dev) linear $dev 0"'
_TABLE: Final = "echo 'label: gpt' | sfdisk -q $dev"
_PARTITION: Final = "printf 'label: gpt\\nsize=100M\\n' | sfdisk -q $dev; udevadm settle; test -b ${dev}1"
_READ_ONLY_MAP: Final = f"""
major=$(awk '/device-mapper/ {{ print $1 }}' /proc/devices)
dmsetup create -r --major $major --minor {MINOR} ro-$name --table "0 $(blockdev --getsz $dev) linear $dev 0"
name=dm-{MINOR}"""

_LVM: Final = """
vm() { verb=$1; shift; lvm $verb -qq -y --devices $dev --config 'backup { backup=0 archive=0 }' "$@"; }
vm pvcreate $dev; vm vgcreate vg-$name $dev"""
_LVM_ACTIVE: Final = f"{_LVM}; vm lvcreate -Wn -Zn -n lv -l 10 vg-$name"
_LUKS: Final = f"""{_MODULES} dm-crypt xts
printf secret | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 $dev -"""
_LUKS_OPEN: Final = f"{_LUKS}; printf secret | cryptsetup open --key-file - $dev luks-$name"
_MD: Final = f"""
mkdir -p /run/udev/rules.d; ln -sf /dev/null /run/udev/rules.d/64-md-raid-assembly.rules; udevadm control --reload
{_MODULES} md-mod raid1
raid() {{
    mdadm --create /dev/md/$name --quiet --run --level=1 --raid-devices=2 --bitmap=none --assume-clean $dev missing $1
    mdadm --wait-clean /dev/md/$name
}}
"""

_CEPH: Final = "printf 'bluestore block device\\n6a1d9a7e-5a3c-4f0e-8a55-ffb5a0b6a6a1\\n' | dd of=$dev conv=fsync"
_ZFS: Final = """python3 - $dev <<'END'
import os, struct, sys
device = os.open(sys.argv[1], os.O_RDWR)
label = 262144
size = os.lseek(device, 0, os.SEEK_END) // label * label
for start in (0, label, size - 2 * label, size - label):
    for number in range(128):
        uberblock = struct.pack("<5Q", 0x00BAB10C, 5000, number, 7, 1700000000).ljust(1024, bytes(1))
        os.pwrite(device, uberblock, start + 131072 + 1024 * number)
os.fsync(device)
END"""


@dataclass(frozen=True)
class Recipe:
    """How a disk gets into a state, and how that is told of."""

    name: str
    script: str
    told: str = ""
    first: str = ""
    """What is done to it before it is discovered."""
    small: bool = False
    """Takes a disk that is too small."""
    variant: bool = False
    """Told in the words of another one that is not ``long``."""
    on_loops: bool = False
    """Refused just so on a loop device of this machine: see ``tests/integration/nodeagent/drives/changing``."""

    async def prepare(self, disk: Disk, script: str | None = None) -> str:
        """Run the script, or another one, on a disk that is plugged in; return the name of the device to look at."""
        text = self.script if script is None else script
        said = await disk.hand.sh(f"dev=/dev/{disk.name} name={disk.name}\n{{ {text or 'true'}\n}} >&2\necho $name")
        await disk.hand.run("udevadm", "settle", "--timeout=20")
        return said


IN_USE: Final = (
    Recipe("partitioned", _PARTITION, "Partitioned"),
    Recipe("mounted", f"{_EXT4}; {_MOUNT}", "Mounted", on_loops=True),
    Recipe("mounted btrfs", f"{_BTRFS}; {_MOUNT}", "Mounted"),
    Recipe("mounted out of sight", f"{_EXT4}; {_MOUNT_ELSEWHERE}", "Mounted"),
    Recipe("swap", "mkswap $dev; swapon $dev", "Swap"),
    Recipe("held by device mapper", _HOLD, "Held by other device"),
    Recipe("LVM with an active volume", _LVM_ACTIVE, "Held by other device", variant=True),
    Recipe("LUKS that is open", _LUKS_OPEN, "Held by other device", variant=True),
    Recipe("MD that is assembled", f"{_MD} raid --metadata=1.2", "Held by other device", variant=True),
    Recipe("read-only", "blockdev --setro $dev", "Read only", on_loops=True),
    Recipe("read-only device mapper", _READ_ONLY_MAP, "Read only"),
    Recipe("too small", "true", "Too small", small=True, on_loops=True),
)  # fmt: skip
"""Refused whatever is asked."""

SIGNED: Final = (
    Recipe("ext4", _EXT4, "ext4", on_loops=True),
    Recipe("btrfs", _BTRFS, "btrfs", variant=True),
    Recipe("empty partition table", _TABLE, "gpt", on_loops=True),
    Recipe("swap area", "mkswap $dev", "swap", on_loops=True),
    Recipe("LVM", _LVM, "LVM2_member"),
    Recipe("LUKS", _LUKS, "crypto_LUKS", variant=True),
    Recipe("MD that is stopped", f"{_MD} raid --metadata=1.2; mdadm --stop /dev/md/$name", "linux_raid_member",
           variant=True),
    Recipe("MD with its metadata at the end", f"{_MD} raid --metadata=1.0; mdadm --stop /dev/md/$name",
           "linux_raid_member"),
    Recipe("ZFS", _ZFS, "zfs_member", on_loops=True),
    Recipe("Ceph", _CEPH, "ceph_bluestore", on_loops=True),
    Recipe("XFS of somebody else", "mkfs.xfs -q -L data $dev", "xfs", on_loops=True),
)  # fmt: skip
"""Formatted by force only."""

UNMADE: Final = (
    Recipe("a file system was made", _EXT4, on_loops=True),
    Recipe("another file system was made", "mkfs.ext4 -q -F $dev", first=_EXT4, variant=True),
    Recipe("its file system was mounted", _MOUNT, first=_EXT4, on_loops=True),
    Recipe("it was partitioned", _PARTITION),
    Recipe("it is swap now", "swapon $dev", first="mkswap $dev", variant=True),
    Recipe("another device holds it", _HOLD, variant=True),
    Recipe("it became read-only", "blockdev --setro $dev", variant=True),
    Recipe("it was wiped", "wipefs -aq $dev", first=_EXT4),
)  # fmt: skip
"""Done after it was discovered."""
