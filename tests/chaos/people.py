"""What people do to drives and volumes: they suspend and resume them, and repair drives."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from chaos.kinds import Action, Kind
from chaos.locks import taken
from chaos.model import Fault, History, Volume, suspension, until_told
from chaos.operations import FAILED, Bug, NotAnswered, Operations
from chaos.repairing import Repairing
from chaos.world import World
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.messages import ChangeDrive, ChangeVolume, HeldDrive
from directpv_common.protocol.names import is_suspended

SUSPEND_SECONDS: Final = 60.0
RESUME_SECONDS: Final = 200.0
"""With people who repeat it, a resume has reached its node within so long, whatever happens meanwhile."""
START_SECONDS: Final = 30.0
TOLD_SECONDS: Final = 8.0
CALL_SECONDS: Final = 10.0
PAUSE_SECONDS: Final = 1.0


class People:
    """See :class:`chaos.faults.Faults`."""

    def __init__(self, world: World, history: History, operations: Operations, volumes: Mapping[str, Volume]) -> None:
        self._world, self._history, self._operations, self._volumes = world, history, operations, volumes
        self._repairing = Repairing(world, history, operations, volumes)
        self._suspended: dict[str, asyncio.Lock] = {}
        self.ways: dict[Kind, Callable[[Action], Awaitable[str]]] = {
            Kind.SUSPEND: self._volume,
            Kind.SUSPEND_DRIVE: self._drive,
            Kind.REPAIR: self._repairing.repair,
        }

    # ---- one volume -------------------------------------------------------------------------------------------------

    async def _volume(self, action: Action) -> str:
        volume = self._volumes.get(action.volume)
        if volume is None or not volume.exists:
            return "there is no such volume"
        async with taken(self._suspended.setdefault(volume.name, asyncio.Lock())):
            fault = self._history.begin(suspension(volume.name), Kind.SUSPEND, time.monotonic())
            try:
                async with self._operations.alone(volume):
                    words = await self._suspend(volume)
                await asyncio.sleep(action.seconds)
            finally:
                await asyncio.shield(asyncio.ensure_future(self._resume(volume, fault)))
        return words

    async def _suspend(self, volume: Volume) -> str:
        """Suspend it between two pods; the second one finds an empty directory that it cannot write to."""
        if not volume.exists:
            return "there is no such volume"
        used = volume.in_use
        if used:
            await self._operations.stop(volume, START_SECONDS)
        if not await self._changed(volume, suspended=True, within=SUSPEND_SECONDS):
            return "its node did not say that it was suspended"
        await self._operations.start(volume, START_SECONDS)
        shown = await self._operations.shown(volume)
        if volume.started and shown != "tmpfs, read-only":
            raise Bug(f"{volume.name} is suspended, and its pod finds {shown}")
        return "its pod found nothing"

    async def _resume(self, volume: Volume, fault: Fault) -> None:
        """Resume it, and restart its pod, which shows nothing until then."""
        async with self._operations.alone(volume):
            if volume.exists and not await self._changed(volume, suspended=False, within=RESUME_SECONDS):
                raise Bug(f"{volume.name} was not resumed within {RESUME_SECONDS:g} s")
            fault.end(time.monotonic())
            await self._again(volume)

    async def _changed(self, volume: Volume, *, suspended: bool, within: float) -> bool:
        """Suspend or resume a volume until its node says that it is; tell whether it did."""

        def so(held: HeldDrive) -> bool:
            return any(
                each.record.name == volume.name and is_suspended(each.record.labels) is suspended
                for each in held.volumes
            )

        request = ChangeVolume(name=volume.name, suspended=suspended)
        return await self._until_so(Controller.VOLUME_CHANGE, request, volume.drive, so, within) is not None

    # ---- a drive ----------------------------------------------------------------------------------------------------

    async def _drive(self, action: Action) -> str:
        drive = self._world.hosts[action.node].drives[action.drive]
        async with taken(self._suspended.setdefault(drive, asyncio.Lock())):
            fault = self._history.begin(suspension(drive), Kind.SUSPEND_DRIVE, time.monotonic())
            try:
                since = await self._changed_drive(drive, suspended=True, within=SUSPEND_SECONDS)
                await asyncio.sleep(action.seconds)
                until = time.monotonic()
            finally:
                await asyncio.shield(asyncio.ensure_future(self._resume_drive(drive, fault)))
        if since is None:
            return "its node did not say that it was suspended"
        made = [v.name for v in self._volumes.values() if v.drive == drive and since < v.asked and v.made < until]
        if made:
            raise Bug(f"{drive} is suspended, and takes {', '.join(made)}")
        return "it took no new volume"

    async def _resume_drive(self, drive: str, fault: Fault) -> None:
        if await self._changed_drive(drive, suspended=False, within=RESUME_SECONDS) is None:
            raise Bug(f"{drive} was not resumed within {RESUME_SECONDS:g} s")
        fault.end(time.monotonic())
        for volume in [volume for volume in self._volumes.values() if volume.drive == drive]:
            with contextlib.suppress(NotAnswered, *FAILED):
                async with self._operations.alone(volume):
                    await self._again(volume)

    async def _changed_drive(self, drive: str, *, suspended: bool, within: float) -> float | None:
        request = ChangeDrive(fsuuid=drive, suspended=suspended)
        return await self._until_so(
            Controller.DRIVE_CHANGE, request, drive, lambda held: is_suspended(held.record.labels) is suspended, within
        )

    # ---- both -------------------------------------------------------------------------------------------------------

    async def _again(self, volume: Volume) -> None:
        """Restart the pods of a volume that show nothing."""
        if volume.exists and volume.in_use and not volume.served:
            with contextlib.suppress(NotAnswered):
                await self._operations.stop(volume, START_SECONDS)
                await self._operations.start(volume, START_SECONDS)

    async def _until_so(
        self, endpoint: Any, request: Any, drive: str, so: Callable[[HeldDrive], bool], within: float
    ) -> float | None:
        """Order it until the drive's node says that it is so; return when it did, None if it did not in time.

        What is said of a drive that cannot be read is not on it yet: another registry would not hear of it.
        """

        def kept(held: HeldDrive) -> bool:
            return held.readable and so(held)

        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            asked = time.monotonic()
            try:
                await self._world.bus.call(endpoint, request, within=CALL_SECONDS)
            except (DirectPVError, TimeoutError):
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                if (when := await until_told(self._history, drive, kept, asked, TOLD_SECONDS)) is not None:
                    return when
        return None
