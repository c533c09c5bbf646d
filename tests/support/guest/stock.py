"""Fresh disks for many small tests, on as many guests as they need, each with one agent."""

import hashlib
import os
from pathlib import Path

from directpv_common.protocol import api
from directpv_common.protocol.messages import Device, Empty, FormatDevice, FormatDevices, FormatResult
from support.guest.disks import Disk
from support.guest.lab import Lab
from support.guest.node import Node
from support.guest.recipes import MINOR
from support.guest.uml import DISK_SIZE, make_disk
from support.node_client import FENCE, eventually

DISKS = 15
"""Of one guest: more do not fit."""
SMALL_SIZE = 511 * 1024 * 1024
SCAN_SECONDS = 600
DEVICES = f"sd*,dm-{MINOR}"


class Stock:
    """Hands out disks that nobody used before; boots another guest when those of the last are used up."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._nodes: dict[str, Node] = {}
        self._fresh: list[Disk] = []
        self._small: list[Disk] = []
        self._lent: list[Disk] = []

    async def disk(self, *, small: bool = False) -> Disk:
        """Return a disk that is plugged in; a ``small`` one has less than a drive needs."""
        shelf = self._small if small else self._fresh
        if not shelf:
            await self._boot()
        disk = shelf.pop(0)
        self._lent.append(disk)
        await disk.attach()
        return disk

    async def put_away(self) -> None:
        """Pull all disks that were handed out, so that scans of the devices stay short."""
        for disk in self._lent:
            if await disk.is_in():
                await disk.pull()
        self._lent.clear()

    async def pair(self, *, apart: bool = False) -> tuple[Disk, Disk]:
        """Return a disk that is plugged in, and one that never was; both of one node, or of two."""
        first = await self.disk()
        while not (others := [disk for disk in self._fresh if (disk.machine is not first.machine) == apart]):
            if not apart:
                self._fresh.clear()
                first = await self.disk()
            else:
                await self._boot()
        self._fresh.remove(others[0])
        self._lent.append(others[0])
        return first, others[0]

    async def _boot(self) -> None:
        name = f"n{len(self._nodes) + 1}"
        sizes = [DISK_SIZE] * (DISKS - 1) + [SMALL_SIZE]
        files = [make_disk(self.lab.directory / f"{name}-{i}.img", size) for i, size in enumerate(sizes)]
        machine = await self.lab.boot(name, files=files)
        self._nodes[name] = await self.lab.node(machine, devices=DEVICES, **{"scan-interval": SCAN_SECONDS})
        disks = [Disk(machine, index) for index in range(DISKS)]
        self._fresh += disks[:-1]
        self._small += disks[-1:]

    def node(self, disk: Disk) -> Node:
        """Return the node of a disk."""
        return self._nodes[disk.machine.name]

    async def device(self, disk: Disk, name: str = "") -> Device:
        """Return what discover shows of a disk, or of the device ``name`` of its node, once udev knows it."""
        wanted = name or disk.name

        async def look() -> Device | None:
            await disk.hand.run("udevadm", "settle", "--timeout=20")
            found = (await self.node(disk).client.ask(api.Node.DEVICE_LIST, Empty())).devices
            return next((device for device in found if device.name == wanted), None)

        return await eventually(look, f"discover shows {wanted}")  # type: ignore[no-any-return]

    async def order(
        self, disk: Disk, device: Device, *, force: bool = False, registered: tuple[str, ...] = ()
    ) -> FormatResult:
        """Ask for a device, as it was discovered, to be made a drive, as the leader would after init."""
        request = FormatDevices(
            devices=(FormatDevice(id=device.id, name=device.name, force=force),), registered=registered, fence=FENCE
        )
        reply = await self.node(disk).client.ask(api.Node.DEVICE_FORMAT, request, within=60)
        (result,) = reply.results
        return result  # type: ignore[no-any-return]


async def content_of(disk: Disk) -> str:
    """Return a digest of every byte of a disk, whose guest has written all that it had to write."""
    await disk.hand.run("sync")
    return digest(disk.machine.disks[disk.index])


def digest(path: Path, block: int = 64 * 1024) -> str:
    """Return a digest of a file's bytes, for which holes and zeros are the same."""
    found, zeros = hashlib.sha256(), bytes(block)
    with path.open("rb") as file:
        size, offset = os.fstat(file.fileno()).st_size, 0
        while (offset := _next_data(file.fileno(), offset, size) // block * block) < size:
            file.seek(offset)
            content = file.read(block)
            if content != zeros[: len(content)]:
                found.update(b"%d:" % offset + content)
            offset += block
    return f"{size}:{found.hexdigest()}"


def _next_data(descriptor: int, offset: int, size: int) -> int:
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA) if offset < size else size
    except OSError:
        return size
