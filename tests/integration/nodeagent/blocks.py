"""Real loop devices over sparse files of the test's own, and what other programs would have left on them."""

import contextlib
import errno
import fcntl
import hashlib
import os
import struct
import subprocess
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

MIB = 1024 * 1024
SIZE = 600 * MIB
BLOCK = 64 * 1024
LOOP_CTL_ADD = 0x4C80
LOOP_CTL_REMOVE = 0x4C81


def sh(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def loop_control(request: int, minor: int) -> None:
    """Ask the kernel to make or remove a loop device; a device that is still open cannot be removed."""
    deadline = monotonic() + 20
    with open("/dev/loop-control", "rb") as control:
        while True:
            try:
                fcntl.ioctl(control, request, minor)
            except OSError as error:
                if error.errno != errno.EBUSY or monotonic() > deadline:
                    raise
                sleep(0.01)
            else:
                return


def blocks_with_data(descriptor: int) -> set[int]:
    """Return the numbers of a file's blocks that are not holes."""
    found: set[int] = set()
    end, at = os.fstat(descriptor).st_size, 0
    with contextlib.suppress(OSError):  # ENXIO: no data after this
        while at < end:
            at = os.lseek(descriptor, at, os.SEEK_DATA)
            hole = os.lseek(descriptor, at, os.SEEK_HOLE)
            found.update(range(at // BLOCK, -(-hole // BLOCK)))
            at = hole
    return found


class Loop:
    """One loop device and its backing file; the number is high, so that no other program picks it when it is free."""

    def __init__(self, file: Path, minor: int) -> None:
        self.file = file
        self.minor = minor
        self.name = f"loop{minor}"
        self.path = f"/dev/{self.name}"

    def sync(self) -> None:
        device = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(device)
        finally:
            os.close(device)

    def fingerprint(self) -> str:
        """Hash of the content; quick, since the file is sparse. Whether zeros are holes or not makes no difference."""
        self.sync()
        digest = hashlib.sha256()
        with open(self.file, "rb") as file:
            for block in sorted(blocks_with_data(file.fileno())):
                data = os.pread(file.fileno(), BLOCK, block * BLOCK)
                if data.strip(b"\0"):
                    digest.update(struct.pack("<Q", block) + data)
        return digest.hexdigest()

    def detach(self) -> None:
        """Take the device away; it goes when its last user, udev for instance, has closed it."""
        sh("losetup", "--detach", self.path)
        deadline = monotonic() + 20
        while Path(f"/sys/class/block/{self.name}/loop").exists():
            assert monotonic() < deadline, f"{self.path} is still in use"
            sleep(0.01)

    def attach(self, *options: str) -> None:
        """Bring it under its name; return when udev has found out what it can."""
        sh("losetup", *options, self.path, str(self.file))
        sh("udevadm", "settle", "--timeout=45")

    def remove(self) -> None:
        """Take the device off the machine, whatever state it is in."""
        if Path(f"/sys/class/block/{self.name}/loop").exists():
            self.detach()
        if Path(f"/sys/class/block/{self.name}").exists():
            loop_control(LOOP_CTL_REMOVE, self.minor)

    def write(self, offset: int, data: bytes) -> None:
        with open(self.path, "r+b", buffering=0) as device:
            device.seek(offset)
            device.write(data)
            os.fsync(device.fileno())


# ---- what others leave on a device ---------------------------------------------------------------------------------


def lvm(device: Loop) -> None:
    label = bytearray(512)
    label[0:8], label[24:32] = b"LABELONE", b"LVM2 001"
    struct.pack_into("<Q", label, 8, 1)
    struct.pack_into("<I", label, 20, 32)
    label[32:64] = b"abcdefghijklmnopqrstuvwxyz012345"
    crc = zlib.crc32(bytes(label[20:]), 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    struct.pack_into("<I", label, 16, crc)
    device.write(512, bytes(label))


def luks(device: Loop) -> None:
    device.write(0, (b"LUKS\xba\xbe\0\1".ljust(168, b"\0") + str(uuid.uuid4()).encode()).ljust(512, b"\0"))


def raid(device: Loop, sector: int = 8) -> None:
    """RAID metadata version 1.2, or 1.0 when ``sector`` is near the end."""
    block = bytearray(256)
    struct.pack_into("<II", block, 0, 0xA92B4EFC, 1)
    block[16:32] = uuid.uuid4().bytes
    struct.pack_into("<Q", block, 144, sector)
    total = sum(struct.unpack("<64I", block))
    struct.pack_into("<I", block, 216, (total & 0xFFFFFFFF) + (total >> 32))
    device.write(sector * 512, bytes(block).ljust(512, b"\0"))


def zfs(device: Loop) -> None:
    for n in range(8):
        block = struct.pack("<QQQQQ", 0x00BAB10C, 5000, 4 + n, 0, 1)
        device.write((128 + n) * 1024, block.ljust(512, b"\0"))


def ceph(device: Loop) -> None:
    device.write(0, f"bluestore block device\n{uuid.uuid4()}\n".encode().ljust(512, b"\0"))


def btrfs(device: Loop) -> None:
    device.write(64 * 1024, (b"\0" * 0x40 + b"_BHRfS_M").ljust(512, b"\0"))


def mbr(device: Loop) -> None:
    sector = bytearray(512)
    struct.pack_into("<BBBBBBBBII", sector, 446, 0, 0, 2, 0, 0x83, 0, 0, 0, 2048, 409600)
    sector[510:] = b"\x55\xaa"
    device.write(0, bytes(sector))


def gpt(device: Loop) -> None:
    last = SIZE // 512 - 1
    entries = bytes(128 * 128)
    head = struct.pack(
        "<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, 1, last, 34, last - 33, uuid.uuid4().bytes, 2, 128, 128,
        zlib.crc32(entries),
    )  # fmt: skip
    head = head[:16] + struct.pack("<I", zlib.crc32(head)) + head[20:]
    protective = bytearray(512)
    struct.pack_into("<BBBBBBBBII", protective, 446, 0, 0, 2, 0, 0xEE, 255, 255, 255, 1, last)
    protective[510:] = b"\x55\xaa"
    device.write(0, bytes(protective) + head.ljust(512, b"\0") + entries)


LEAVE: dict[str, Callable[[Loop], object]] = {
    "LVM2_member": lvm,
    "crypto_LUKS": luks,
    "linux_raid_member": raid,
    "zfs_member": zfs,
    "ceph_bluestore": ceph,
    "mirror": lambda device: raid(device, SIZE // 512 - 16),
    "btrfs": btrfs,
    "dos": mbr,
    "gpt": gpt,
    "ext4": lambda device: sh("mkfs.ext4", "-q", "-E", "lazy_itable_init=1,nodiscard", device.path),
    "xfs": lambda device: sh("mkfs.xfs", "-q", "-K", device.path),
    "swap": lambda device: sh("mkswap", device.path),
}
