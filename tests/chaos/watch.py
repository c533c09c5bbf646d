"""Asks the agents all the time how their drives are, and does what these ask people for: pods that hold one restart."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from chaos.host import Host
from chaos.model import History, Told, Volume
from chaos.world import World
from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.messages import DriveStatus, GetInventory, HeldDrive

PAUSE_SECONDS: Final = 2.0
ASK_SECONDS: Final = 5.0
PEOPLE_SECONDS: Final = 5.0
"""A drive says for so long who holds it before people restart these pods."""
STUCK_SECONDS: Final = 120.0
"""With all faults over and nobody who holds it, a drive is Ready within so long."""
_HELD: Final = "hold it"


class Watch:
    """Notes what agents say of their drives: the only thing that tells that a drive which had a fault is well again."""

    def __init__(
        self,
        world: World,
        history: History,
        volumes: Mapping[str, Volume],
        restart_pods: Callable[[str], Awaitable[None]],
        problem: Callable[[str], Awaitable[None]],
    ) -> None:
        """Take what it works with.

        Args:
            world: Whom to ask.
            history: Where answers go.
            volumes: Which are told what their drives hold.
            restart_pods: Ends the containers of a drive's volumes.
            problem: Told of drives that are not well, with nothing that explains it.
        """
        self._world, self._history, self._volumes = world, history, volumes
        self._restart_pods, self._problem = restart_pods, problem
        self._stuck: set[str] = set()

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await asyncio.gather(*(self._ask(host) for host in self._world.hosts))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _ask(self, host: Host) -> None:
        """Ask one agent; one that does not answer says nothing."""
        asked, known = time.monotonic(), tuple(self._volumes.values())
        with contextlib.suppress(DirectPVError, TimeoutError):
            async with asyncio.timeout(ASK_SECONDS):
                reply = await self._world.bus.call(
                    Node.INVENTORY_GET, GetInventory(), node=host.name, within=ASK_SECONDS
                )
            for drive in reply.drives:
                self._history.told[drive.record.fsuuid] = Told(asked, drive)
                for volume in known if drive.readable else ():
                    if volume.drive == drive.record.fsuuid:
                        volume.seen(drive, asked)
                await self._take(drive, asked)

    async def _take(self, held: HeldDrive, asked: float) -> None:
        drive, well = held.record.fsuuid, held.record.status is DriveStatus.READY and held.readable
        self._history.said(drive, asked, well=well)
        broken = self._history.said_for(drive, well=False)
        why = "; ".join(condition.message for condition in held.record.conditions)
        if well:
            self._stuck.discard(drive)
        elif _HELD in why and broken >= PEOPLE_SECONDS:
            await self._restart_pods(drive)
        if not well and broken >= STUCK_SECONDS and drive not in self._stuck:
            self._stuck.add(drive)
            await self._problem(f"{drive} is {held.record.status} for {broken:.0f} s with all its faults over: {why}")
