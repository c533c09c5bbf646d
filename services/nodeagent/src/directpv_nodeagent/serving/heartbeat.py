"""Tells the controller what this node has: a heartbeat that names each drive's generation, and the inventory."""

import asyncio
import contextlib
import math
import secrets
from typing import Final

from directpv_common import __version__
from directpv_common.bus.bus import Bus
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import Unavailable
from directpv_common.protocol.messages import (
    DriveHealth,
    DriveStatus,
    Empty,
    GetInventory,
    HeldDrive,
    Inventory,
    NodeInfo,
    NodeState,
)
from directpv_common.protocol.wire import encode
from directpv_nodeagent.drives.taken.drives import Drives
from directpv_nodeagent.linux.quota import kernel_lacks_quota

PAGE_BYTES: Final = 400_000
"""Of an inventory: less than half of what a message carries, and some milliseconds of the leader's time."""
DEBOUNCE_SECONDS: Final = 0.02
"""Changes come in bursts; the controller hears of a burst once."""


class Heartbeat:
    """This node, as its agent tells of it."""

    def __init__(self, drives: Drives) -> None:
        self._drives = drives
        self._changed = asyncio.Event()
        self._sequence = 0
        self.boot = secrets.token_hex(8)
        """Generations of different runs cannot be compared."""

    def poke(self) -> None:
        """Something changed: tell it soon."""
        self._changed.set()

    def info(self) -> NodeInfo:
        """Return the agent's own description."""
        host = self._drives.host
        enforced = all(drive.view.enforced for drive in self._drives.by_id.values() if drive.readable)
        return NodeInfo(
            name=host.node,
            topology=host.topology,
            version=__version__,
            quota_enforced=enforced and (host.quota_required or not kernel_lacks_quota()),
        )

    async def get_info(self, request: Empty) -> NodeInfo:
        """Answer ``node.get``."""
        return self.info()

    async def get_inventory(self, request: GetInventory) -> Inventory:
        """Answer ``inventory.get``.

        Raises:
            Unavailable: The drives were not all looked at since the agent started; nothing may be concluded yet.
        """
        if not self._drives.scanned:
            raise Unavailable(f"node {self._drives.host.node} is still looking for its drives; repeat soon")
        wanted = [each for each in request.drives or sorted(self._drives.by_id) if each in self._drives.by_id]
        told: list[HeldDrive] = []
        room = PAGE_BYTES if request.paged else math.inf
        while wanted and (room > 0 or not told):
            drive = self._drives.by_id[wanted.pop(0)]
            held = drive.held("" if told else request.after, room, self._drives.contested(drive))
            room -= len(encode(held)) if request.paged else 0
            told.append(held)
            if held.more:
                break
        return Inventory(info=self.info(), boot=self.boot, drives=tuple(told), left=tuple(wanted))

    async def run(self, bus: Bus, interval: float) -> None:
        """Publish at once after each change, when a leader calls, and every ``interval`` seconds, until cancelled."""
        await bus.subscribe(bus.subjects.roll_call, lambda _: self.poke())
        while True:
            self._changed.clear()
            if self._drives.scanned:
                await bus.publish(bus.subjects.state(self._drives.host.node), self._state())
            with contextlib.suppress(TimeoutError):
                async with timeout(interval):
                    await self._changed.wait()
                    await asyncio.sleep(DEBOUNCE_SECONDS)

    def _state(self) -> NodeState:
        self._sequence += 1
        drives = self._drives.by_id
        return NodeState(
            info=self.info(),
            boot=self.boot,
            sequence=self._sequence,
            drives={fsuuid: drive.generation for fsuuid, drive in drives.items()},
            unwell={
                fsuuid: DriveHealth(status=drive.record.status, conditions=drive.record.conditions)
                for fsuuid, drive in drives.items()
                if drive.record.status is not DriveStatus.READY or drive.record.conditions
            },
        )
