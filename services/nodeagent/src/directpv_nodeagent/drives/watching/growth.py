"""Lets the file system of a drive follow a device that grew: online, without a restart, volumes in use or not.

The file system grows first, then the record on the drive, then memory and controller: killed anywhere between, the
next look finds what is left to do by comparing them. Promised bytes therefore always exist.
"""

import asyncio
import fcntl
import logging
from typing import Final

from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.messages import DriveStatus
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.drives.core import growth
from directpv_nodeagent.drives.core.growth import Geometry
from directpv_nodeagent.drives.filesystem import xfs
from directpv_nodeagent.drives.taken.drives import Drives
from directpv_nodeagent.drives.taken.turns import Turn, Turns
from directpv_nodeagent.layout import volume_dirs
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.view import DriveView

log = logging.getLogger(__name__)

GROW_SECONDS: Final = 300.0
"""Each new allocation group is a few writes; a drive that grows a thousandfold has thousands."""


def grow(view: DriveView, size: int) -> tuple[Geometry, str]:
    """Grow the mounted drive to what a device of ``size`` bytes holds, if that is worth it; blocking.

    By ioctl rather than by the xfs_growfs program, which does the same after guessing device and mount point from the
    mount table, and need not be installed.

    Returns:
        The geometry afterwards, and why it did not grow although it should; empty if it did, or need not.

    Raises:
        DriveFault: It is not mounted.
        OSError: It cannot be read.
    """
    with volume_dirs.drive_of(view) as drive:
        before = xfs.geometry_of(drive.root)
        wanted = growth.target(before, size)
        if wanted == before.data_blocks:
            return before, ""
        try:
            fcntl.ioctl(drive.root, growth.GROW_REQUEST, growth.pack_growth(before, wanted))
        except OSError as error:
            return xfs.geometry_of(drive.root), error.strerror or str(error)
        after = xfs.geometry_of(drive.root)
        return after, "" if after.data_blocks > before.data_blocks else "the kernel said it did, and it did not"


class Growth:
    """Notices that devices grew."""

    def __init__(self, drives: Drives, turns: Turns) -> None:
        self._drives = drives
        self._turns = turns
        self._attempts = growth.Attempts()

    def is_due(self, drive: Drive, facts: DeviceFacts) -> bool:
        """Tell whether the drive should be looked at; cheap, for every scan."""
        worth = growth.worth_a_look(drive.record, facts.size)
        return worth and self._attempts.is_due(drive.fsuuid, facts.size, self._now())

    async def look(self, drive: Drive, facts: DeviceFacts) -> None:
        """Grow the drive if its device has more room, and take in how large it is. The device's lock is held.

        A failure leaves the drive as it is, Ready at its old size; it is told once per size.
        """
        if not self._may(drive, facts):
            return
        self._attempts.begin(drive.fsuuid, facts.size, self._now())
        try:
            async with self._turns.take(f"drive {drive.fsuuid}", kind="prepare") as turn:
                why = await self._grow(turn, drive, facts) if self._may(drive, facts) else ""
        except (DirectPVError, OSError) as error:
            why = str(error)
        if why:
            self._failed(drive, facts, why)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    @staticmethod
    def _may(drive: Drive, facts: DeviceFacts) -> bool:
        well = drive.readable and drive.record.status is DriveStatus.READY
        return well and drive.view.device == facts.major_minor

    async def _grow(self, turn: Turn, drive: Drive, facts: DeviceFacts) -> str:
        """Return why it did not grow; empty if it did, or need not."""
        view, before = drive.view, drive.record.total
        geometry, why = await turn.run(drive.fsuuid, lambda: grow(view, facts.size), GROW_SECONDS, "growing it")
        record = growth.resized(drive.record, geometry)
        if record.total == before:
            return why
        await turn.run(
            drive.fsuuid, lambda: volume_dirs.write_drive_record(view, record), GROW_SECONDS, "noting its size"
        )
        drive.change(total=record.total, overhead=record.overhead)
        self._drives.on_change()
        if record.total > before:
            facts_told = {"was": before, "total": record.total, "free": drive.free}
            log.info("drive expanded", extra={"drive": drive.fsuuid, "device": facts.name, **facts_told})
            self._drives.emit("drive", "expanded", drive.fsuuid, device=facts.name, **facts_told)
        return why

    def _failed(self, drive: Drive, facts: DeviceFacts, why: str) -> None:
        about = {"device": facts.name, "total": drive.record.total, "size": facts.size, "cause": why}
        log.warning("drive did not grow with its device", extra={"drive": drive.fsuuid, **about})
        if self._attempts.failed(drive.fsuuid):
            advice = f"look at the kernel log of the node; it is tried again every {growth.RETRY_SECONDS:.0f} s"
            self._drives.emit("drive", "expand-failed", drive.fsuuid, advice=advice, **about)
