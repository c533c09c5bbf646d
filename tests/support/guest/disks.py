"""SCSI disks of a guest that can be pulled, put back, and broken in every way that device mapper knows.

    file of the host ── /dev/ubdX ── device mapper ── SCSI target on loopback ── /dev/sdX, with serial and WWN

The faults are below the SCSI layer, so the guest's kernel sees what it sees of a disk that fails.
"""

from dataclasses import dataclass, field
from typing import Final

from support.guest.client import Hand
from support.guest.uml import Uml

_CONFIG: Final = "/sys/kernel/config/target"
_SECTOR: Final = 512
_DUST_BLOCK: Final = 1 << 26


async def prepare(hand: Hand) -> None:
    """Load what disks need."""
    await hand.sh(
        """
        modprobe -d /run/modules -a configfs dm-mod dm-flakey dm-delay dm-dust target_core_iblock tcm_loop sd_mod
        mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
        """
    )


@dataclass
class Disk:
    """Disk ``index`` of a guest, over a device-mapper device of the name ``d<index>``.

    Each time that it is plugged in, it has a slot (a host adapter) of its own: the kernel keeps what belongs to a
    pulled disk for as long as somebody uses it.
    """

    machine: Uml
    index: int
    serial: str = ""
    length: int = 0
    """Sectors of the file that the disk shows; 0 for all."""
    name: str = field(default="", init=False)
    """Kernel name while it is plugged in."""
    _plugged: int = field(default=0, init=False)

    @property
    def hand(self) -> Hand:
        """Where it is worked on."""
        return self.machine.hand

    @property
    def mapped(self) -> str:
        """Name of the device-mapper device."""
        return f"d{self.index}"

    @property
    def _backstore(self) -> str:
        return f"{_CONFIG}/core/iblock_0/{self.mapped}"

    @property
    def _slot(self) -> str:
        return f"{_CONFIG}/loopback/naa.50014050000{self.index:02x}{self._plugged:03x}"

    async def sectors(self) -> int:
        """Return its size in sectors."""
        return self.length or int(await self.hand.run("blockdev", "--getsz", self.machine.disk_device(self.index)))

    async def attach(self) -> str:
        """Wire it up for the first time, and return its kernel name once udev knows it: its id does not change then."""
        name = await self.plug_in()
        await self.hand.run("udevadm", "settle", "--timeout=20")
        return name

    async def plug_in(self) -> str:
        """Wire it up for the first time, and return its kernel name, whatever else udev is busy with."""
        serial = self.serial or f"{abs(hash((self.machine.name, self.index))):032x}"[:32]
        device, sectors = self.machine.disk_device(self.index), await self.sectors()
        await self.hand.sh(
            f"""
            dmsetup create {self.mapped} --table '0 {sectors} linear {device} 0'
            mkdir -p {self._backstore}
            echo udev_path=/dev/mapper/{self.mapped} > {self._backstore}/control
            echo {serial} > {self._backstore}/wwn/vpd_unit_serial
            echo /dev/mapper/{self.mapped} > {self._backstore}/udev_path
            echo 1 > {self._backstore}/enable
            """
        )
        return await self.put_back()

    async def put_back(self) -> str:
        """Put it in (again), and return its kernel name, which may be another one than before.

        What an attempt that came too late has put in is taken out first: the guest would see two paths to one disk.
        """
        left = f"{self._slot}/tpgt_1/lun/lun_0/backstore"
        self._plugged += 1
        unit = f"{self._slot}/tpgt_1/lun/lun_0"
        before = "ls -d /sys/class/scsi_host/host*"
        self.name = await self.hand.sh(
            f"""
            rm -f {left}
            before=$({before} 2>/dev/null || true)
            mkdir -p {unit}
            echo naa.60014050000{self.index:02x}{self._plugged:03x} > {self._slot}/tpgt_1/nexus
            host=$({before} | while read path; do case "$before" in *$path*) ;; *) basename $path;; esac; done)
            ln -s {self._backstore} {unit}/backstore
            for i in $(seq 200); do
                name=$(ls /sys/class/scsi_host/$host/device/target*/*/block 2>/dev/null | head -1)
                [ -n "$name" ] && [ -b /dev/$name ] && echo $name && exit 0
                sleep 0.05
            done
            exit 1
            """
        )
        return self.name

    async def pull(self) -> None:
        """Take it out, mounted or not, as by hand."""
        await self.hand.sh(f"echo 1 > /sys/block/{self.name}/device/delete; rm {self._slot}/tpgt_1/lun/lun_0/backstore")

    async def is_in(self) -> bool:
        """Tell whether it is plugged in."""
        return await self.hand.exists(f"{self._slot}/tpgt_1/lun/lun_0/backstore")

    async def withdraw(self) -> None:
        """When nothing uses it any more: nothing of the guest holds its file afterwards. May be repeated.

        It need not have been pulled: where plugging it in took too long, nobody knows its name.
        """
        await self.hand.sh(
            f"""
            rm -f {self._slot}/tpgt_1/lun/lun_0/backstore
            [ ! -d {self._backstore} ] || rmdir {self._backstore}
            ! dmsetup info {self.mapped} >/dev/null 2>&1 || dmsetup remove --retry {self.mapped}
            """
        )
        self.name = ""

    async def grow(self) -> None:
        """Let it show the whole file behind it, and let the kernel know."""
        self.length = 0
        await self.show_grown()

    async def show_grown(self) -> None:
        """Let it show ``length`` sectors, which are more than before, and let the kernel know."""
        await self.heal()
        await self.hand.sh(f"echo 1 > /sys/block/{self.name}/device/rescan")

    # ---- faults -------------------------------------------------------------------------------------------------

    async def table(self, *lines: str) -> None:
        """Give the device-mapper device another table, at once and without waiting for its I/O."""
        text = "\\n".join(lines)
        await self.hand.sh(
            f"""
            printf '{text}\\n' | dmsetup load {self.mapped}
            dmsetup suspend --noudevsync --noflush --nolockfs {self.mapped}
            dmsetup resume --noudevsync {self.mapped}
            """
        )

    async def heal(self) -> None:
        """End all faults."""
        await self.table(f"0 {await self.sectors()} linear {self.machine.disk_device(self.index)} 0")

    async def fail(self) -> None:
        """Let every read and every write fail."""
        await self.table(f"0 {await self.sectors()} error")

    async def fail_writes(self) -> None:
        """Let every write fail; reads go well."""
        device, sectors = self.machine.disk_device(self.index), await self.sectors()
        await self.table(f"0 {sectors} flakey {device} 0 0 3600 1 error_writes")

    async def fail_reads(self) -> None:
        """Let every read of the disk fail that no page cache answers; a block that is written can be read again."""
        device, sectors = self.machine.disk_device(self.index), await self.sectors()
        await self.table(f"0 {sectors} dust {device} 0 {_DUST_BLOCK}")
        blocks = -(-sectors * _SECTOR // _DUST_BLOCK)
        await self.hand.sh(
            f"""
            for block in $(seq 0 {blocks - 1}); do dmsetup message {self.mapped} 0 addbadblock $block; done 2>/dev/null
            dmsetup message {self.mapped} 0 enable
            """
        )

    async def delay(self, milliseconds: int) -> None:
        """Let every request take so long."""
        device, sectors = self.machine.disk_device(self.index), await self.sectors()
        await self.table(f"0 {sectors} delay {device} 0 {milliseconds} {device} 0 {milliseconds}")

    async def hang(self) -> None:
        """Let requests wait until :meth:`heal`."""
        await self.hand.sh(f"dmsetup suspend --noudevsync --noflush --nolockfs {self.mapped}")

    async def resume(self) -> None:
        """Let what waits since :meth:`hang` go on."""
        await self.hand.sh(f"dmsetup resume --noudevsync {self.mapped}")
