"""A node with its disks: what is broken of it, by whom at a time, and what it logged."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Final

from support.guest.client import GuestError
from support.guest.disks import Disk
from support.guest.node import AGENT, GATEWAY, Node
from support.guest.pulse import TimerLost
from support.guest.uml import Uml

FETCH_SECONDS: Final = 20.0
BROKEN: Final = (GuestError, AssertionError, OSError, ValueError, TimeoutError)
"""What talking to a guest may raise while it is broken."""


@dataclass
class Host:
    """One node with its disks, and all that its programs logged in former lives."""

    node: Node
    machine: Uml
    disks: list[Disk]
    spare: Disk
    """Carries a copy of another disk while that is cloned."""
    drives: list[str] = field(default_factory=list)
    """FSUUIDs, in the order of the disks."""
    programs: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by who kills or starts agent, gateway or machine."""
    cable: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while it is out, while the machine has no power or boots, and by who must reach it to break something."""
    bays: list[asyncio.Lock] = field(default_factory=list)
    """One per disk: held while it is broken, or has no power."""
    spare_bay: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a copy is plugged in."""
    logs: dict[str, str] = field(default_factory=dict)
    """By program, as far as they were taken out of the guest."""
    former: dict[str, str] = field(default_factory=dict)
    """What of them is from before the last boot."""

    @property
    def name(self) -> str:
        """Name of the node."""
        return self.node.name

    async def reached(self) -> None:
        """Wait until a machine whose cable is back can be reached: for a moment, this kernel takes it for away."""
        deadline = time.monotonic() + FETCH_SECONDS
        while True:
            with contextlib.suppress(*BROKEN):
                async with asyncio.timeout(FETCH_SECONDS):
                    await self.machine.hand.run("true")
                    return
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(0.2)

    async def require_alive(self) -> None:
        """Raise TimerLost if the machine has power and a cable, and its kernel is dead for all that.

        Who breaks the machine waits meanwhile: one without a cable would seem dead.
        """
        async with self.cable:
            fault = await self.machine.fault()
        if isinstance(fault, TimerLost):
            raise fault

    async def keep_logs(self) -> None:
        """Take the logs out of the guest, which forgets them without power."""
        await asyncio.gather(self._keep_log(AGENT), self._keep_log(GATEWAY))

    async def _keep_log(self, program: str) -> None:
        with contextlib.suppress(*BROKEN):
            async with asyncio.timeout(FETCH_SECONDS):
                text = await self.node.log(program)
            self.logs[program] = self.former.get(program, "") + text
