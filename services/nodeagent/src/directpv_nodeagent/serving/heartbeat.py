"""Tells the controller what this node has: a heartbeat that names each drive's generation, and the inventory."""

import asyncio
import contextlib
import secrets
from typing import Final

from directpv_common import __version__
from directpv_common.bus import Bus
from directpv_common.errors import Unavailable
from directpv_common.messages import Empty, GetInventory, Inventory, NodeInfo, NodeState
from directpv_nodeagent.drives.drives import Drives
from directpv_nodeagent.linux.quota import kernel_lacks_quota

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
        wanted = request.drives or tuple(sorted(self._drives.by_id))
        held = (self._drives.by_id[fsuuid].held() for fsuuid in wanted if fsuuid in self._drives.by_id)
        return Inventory(info=self.info(), boot=self.boot, drives=tuple(held))

    async def run(self, bus: Bus, interval: float) -> None:
        """Publish at once after each change, when a leader calls, and every ``interval`` seconds, until cancelled."""
        await bus.subscribe(bus.subjects.roll_call, lambda _: self.poke())
        while True:
            self._changed.clear()
            if self._drives.scanned:
                await bus.publish(bus.subjects.state(self._drives.host.node), self._state())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self._changed.wait()
                    await asyncio.sleep(DEBOUNCE_SECONDS)

    def _state(self) -> NodeState:
        self._sequence += 1
        generations = {fsuuid: drive.generation for fsuuid, drive in self._drives.by_id.items()}
        return NodeState(info=self.info(), boot=self.boot, sequence=self._sequence, drives=generations)
