"""What happens to a drive, or the disk below it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from chaos.disk_faults import break_disk, check_copy, is_told, mend_disk, must_be_told
from chaos.host import BROKEN, Host
from chaos.kinds import DRIVE_FAULTS, MIB, Action, Kind
from chaos.locks import Occupied, take
from chaos.model import Fault, History, until_told
from chaos.operations import Bug
from chaos.world import LARGEST, SECTOR, World

MEND_SECONDS: Final = 90.0
TOLD_SECONDS: Final = 120.0
"""An agent that is asked all the time has said what is wrong within so long, whatever else happens to its node."""


class DriveFaults:
    """See :class:`chaos.faults.Faults`."""

    def __init__(self, world: World, history: History) -> None:
        self._world, self._history = world, history
        self.ways: dict[Kind, Callable[[Action], Awaitable[str]]] = dict.fromkeys(DRIVE_FAULTS, self._drive)
        self.ways[Kind.GROW] = self._grow

    async def _drive(self, action: Action) -> str:
        host = self._world.hosts[action.node]
        disk, drive = host.disks[action.drive], host.drives[action.drive]
        await take(host.bays[action.drive])
        if action.kind is Kind.CLONE:
            try:
                await take(host.spare_bay)
            except BaseException:
                host.bays[action.drive].release()
                raise
        since = time.monotonic()
        fault = None if self._costs_nothing(drive, action.kind) else self._history.begin(drive, action.kind, since)
        try:
            async with host.cable:  # what breaks the drive is told over the network
                await break_disk(host, action)
            await asyncio.sleep(action.seconds)
            await self._check(host, action, since)
        finally:
            await self._mended(host, action, fault)
        return f"{drive} as {disk.name} again"

    def _costs_nothing(self, drive: str, kind: Kind) -> bool:
        """Tell whether uses of a drive go on as if nothing happened to it: what is mounted needs no second device."""
        return kind is Kind.CLONE and self._history.said_for(drive, well=True) > 0

    async def _check(self, host: Host, action: Action, since: float) -> None:
        """Look at what must be so, and said, at the end of the window."""
        drive, kind = host.drives[action.drive], action.kind
        if must_be_told(kind):
            so = partial(is_told, kind)
            if await until_told(self._history, drive, so, since, TOLD_SECONDS) is None:
                raise Bug(f"within {TOLD_SECONDS:g} s, its agent did not say what happens to {drive}: {kind}")
        if action.kind is Kind.CLONE:
            async with host.cable:
                mounted = await check_copy(host)
            if mounted:
                raise Bug(f"the copy of {drive} is mounted: {mounted}")

    async def _mended(self, host: Host, action: Action, fault: Fault | None) -> None:
        """Mend the drive, whatever happens to this task meanwhile."""
        await asyncio.shield(asyncio.ensure_future(self._mend(host, action, fault)))

    async def _mend(self, host: Host, action: Action, fault: Fault | None) -> None:
        deadline = time.monotonic() + MEND_SECONDS
        try:
            while True:
                try:
                    await mend_disk(host, action)
                    return
                except BROKEN:
                    if time.monotonic() > deadline:
                        raise
                    await asyncio.sleep(1)
        finally:
            if fault is not None:
                fault.end(time.monotonic())
            host.bays[action.drive].release()
            if action.kind is Kind.CLONE:
                host.spare_bay.release()

    async def _grow(self, action: Action) -> str:
        """Let a disk grow: its drive is well all the time, so nothing may fail."""
        host = self._world.hosts[action.node]
        disk, sectors = host.disks[action.drive], action.amount * MIB // SECTOR
        await take(host.bays[action.drive])
        if (disk.length + sectors) * SECTOR > LARGEST:
            host.bays[action.drive].release()
            raise Occupied("the disk is as large as it can be")
        disk.length += sectors
        await asyncio.shield(asyncio.ensure_future(self._mend(host, action, None)))
        return f"{disk.name} of {host.drives[action.drive]} has {disk.length * SECTOR // MIB} MiB"
