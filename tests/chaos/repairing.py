"""People repair drives: what nothing uses is repaired, what is used is not touched."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Mapping
from typing import Final

from chaos.host import Host
from chaos.kinds import Action, Kind
from chaos.locks import taken
from chaos.model import CALL_SECONDS, QUIET_SECONDS, History, Volume, agent_of
from chaos.operations import FAILED, Bug, NotAnswered, Operations
from chaos.world import World
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import Busy, DirectPVError, FailedPrecondition, NotFound
from directpv_common.protocol.messages import DriveId, RepairDrive, RepairOutcome, RepairStatus

ASK_SECONDS: Final = 60.0
END_SECONDS: Final = 120.0
ORDER_SECONDS: Final = 20.0
PAUSE_SECONDS: Final = 1.0
_HELD: Final = "in another mount namespace"
"""Containers of other drives' volumes hold all mounts for a moment, while they begin."""


class Repairing:
    """See :class:`chaos.people.People`."""

    def __init__(self, world: World, history: History, operations: Operations, volumes: Mapping[str, Volume]) -> None:
        self._world, self._history, self._operations, self._volumes = world, history, operations, volumes

    async def repair(self, action: Action) -> str:
        """Ask for a repair of a drive as it is, or after all its pods were ended; wait for the end of what begins."""
        host = self._world.hosts[action.node]
        drive = host.drives[action.drive]
        async with taken(host.bays[action.drive]):
            if not action.amount:
                return await self._as_it_is(host, drive)
            async with contextlib.AsyncExitStack() as held:
                volumes = [v for v in sorted(self._volumes.values(), key=lambda v: v.name) if v.drive == drive]
                for volume in volumes:
                    await held.enter_async_context(self._operations.alone(volume))
                used = [volume for volume in volumes if volume.in_use and volume.exists]
                try:
                    return await self._unused(host, drive, volumes)
                finally:
                    for volume in used:
                        with contextlib.suppress(NotAnswered, Bug, *FAILED):
                            await self._operations.start(volume, CALL_SECONDS)

    async def _as_it_is(self, host: Host, drive: str) -> str:
        since, quiet = time.monotonic(), self._history.said_for(drive, well=True) >= QUIET_SECONDS
        used = self._certainly_used(drive)
        status, refused = await self._repaired(host, drive, patient=False)
        if status is None:
            return f"refused: {refused}"
        still = [name for name in used if name in self._certainly_used(drive)]
        if quiet and still and self._history.well(drive, since, (Kind.REPAIR, Kind.STOP)):
            raise Bug(f"{drive} was repaired though it is in use by {', '.join(still)}: {status}")
        return f"{status.outcome}: {status.message}"

    async def _unused(self, host: Host, drive: str, volumes: list[Volume]) -> str:
        quiet = self._history.said_for(drive, well=True) >= QUIET_SECONDS
        for volume in volumes:
            if volume.in_use and volume.exists and (unanswered := await self._stopped(volume)):
                return f"not begun: {volume.name} is in use still: {unanswered}"
            await self._operations.end_container(volume)  # one that could not be ended holds the drive still
        quiet = quiet and not any(volume.container for volume in volumes)
        since = time.monotonic()
        status, refused = await self._repaired(host, drive, patient=True)
        while status is not None and _HELD in status.message and time.monotonic() - since < ASK_SECONDS:
            status, refused = await self._repaired(host, drive, patient=True)
        calm = quiet and self._history.well(drive, since, (Kind.REPAIR, Kind.STOP))
        calm = calm and self._history.well(agent_of(host.name), since)
        if status is None:
            if calm and "in use" in refused:
                raise Bug(f"nothing uses {drive}, but its repair was refused: {refused}")
            return f"not begun: {refused}"
        if calm and status.outcome not in (RepairOutcome.CLEAN, RepairOutcome.REPAIRED):
            raise Bug(f"{drive} was well, but its repair ended with {status}")
        return f"{status.outcome}: {status.message}"

    async def _stopped(self, volume: Volume) -> str:
        """Stop a volume's pod; return what was said instead if nobody answered who could not."""
        try:
            await self._operations.stop(volume, CALL_SECONDS)
        except NotAnswered as error:
            if self._history.had_to_answer(volume, time.monotonic()):
                raise Bug(f"{volume.name} was not stopped though drive, node and bus were well: {error}") from error
            return str(error)
        return ""

    def _certainly_used(self, drive: str) -> set[str]:
        return {v.name for v in self._volumes.values() if v.drive == drive and v.started and v.served and v.exists}

    async def _repaired(self, host: Host, drive: str, *, patient: bool) -> tuple[RepairStatus | None, str]:
        """Ask, and return how it ended; None with the reason if it was not begun, or nobody knows how it ended.

        ``patient``: what it is refused for may go away.
        """
        fault = self._history.begin(drive, Kind.REPAIR, time.monotonic())
        try:
            request = RepairDrive(fsuuid=drive, id=secrets.token_hex(8))
            refused = await self._asked(request, patient=patient)
            return (None, refused) if refused else await self._ended(request)
        finally:
            fault.end(time.monotonic())

    async def _asked(self, request: RepairDrive, *, patient: bool) -> str:
        """Ask until it has begun; return why it was refused, or not answered."""
        deadline, said = time.monotonic() + ASK_SECONDS, "nobody answered"
        while time.monotonic() < deadline:
            try:
                await self._world.bus.call(Controller.DRIVE_REPAIR, request, within=ORDER_SECONDS)
                return ""
            except (FailedPrecondition, Busy) as error:
                said = error.message
                if not patient:
                    return said
            except (DirectPVError, TimeoutError) as error:
                said = str(error) or repr(error)
            await asyncio.sleep(PAUSE_SECONDS)
        return said

    async def _ended(self, request: RepairDrive) -> tuple[RepairStatus | None, str]:
        deadline, said = time.monotonic() + END_SECONDS, ""
        while time.monotonic() < deadline:
            try:
                status = await self._world.bus.call(
                    Controller.DRIVE_REPAIR_STATUS, DriveId(fsuuid=request.fsuuid), within=ORDER_SECONDS
                )
                if status.id == request.id and status.outcome is not RepairOutcome.RUNNING:
                    return status, ""
            except NotFound as error:
                said = error.message
                if "was begun since the agent" in said:  # which died with it
                    return None, said
            except (DirectPVError, TimeoutError) as error:
                said = str(error) or repr(error)
            await asyncio.sleep(PAUSE_SECONDS)
        return None, f"its end was not told within {END_SECONDS:g} s; {said}"
