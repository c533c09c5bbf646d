"""What happens to what there is once: the leader, the bus, the registry."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping

from chaos.kinds import Action, Kind
from chaos.model import BUS, History, Volume
from chaos.world import CONTROLLERS, World


class CentralFaults:
    """See :class:`chaos.faults.Faults`."""

    def __init__(self, world: World, history: History, volumes: Mapping[str, Volume]) -> None:
        self._world, self._history, self._volumes = world, history, volumes
        self._middle = asyncio.Lock()
        self._bus = asyncio.Lock()
        self.ways: dict[Kind, Callable[[Action], Awaitable[str]]] = {
            Kind.KILL_LEADER: self._kill_leader,
            Kind.FREEZE_LEADER: self._freeze_leader,
            Kind.KILL_BUS: self._kill_bus,
            Kind.LOSE_BUS: self._kill_bus,
            Kind.LOSE_REGISTRY: self._lose_registry,
        }

    async def _kill_leader(self, action: Action) -> str:
        async with self._middle:
            name = await self._world.leader() or "controller-1"
            await self._world.kill(name)
            await asyncio.sleep(action.seconds)
            self._world.start(name)
        return name

    async def _freeze_leader(self, action: Action) -> str:
        async with self._middle:
            name = await self._world.leader() or "controller-1"
            await asyncio.to_thread(self._world.freeze, name)
            try:
                await asyncio.sleep(action.seconds)
            finally:
                self._world.signal(name, signal.SIGCONT)
        return name

    async def _kill_bus(self, action: Action) -> str:
        async with self._bus:
            fault = self._history.begin(BUS, action.kind, time.monotonic())
            await asyncio.to_thread(self._world.nats.kill)
            if action.kind is Kind.LOSE_BUS:
                await asyncio.to_thread(self._world.nats.lose_store)
            try:
                await asyncio.sleep(action.seconds)
            finally:
                self._world.nats.start()
                fault.end(time.monotonic())
        return "the bus is back"

    async def _lose_registry(self, action: Action) -> str:
        async with self._middle:
            names = CONTROLLERS if action.amount else ()
            for name in names:
                await self._world.kill(name)
            self._world.lose_registry()
            self._history.losses.append(time.monotonic())
            for volume in self._volumes.values():
                volume.registry_lost()
            await asyncio.sleep(action.seconds)
            for name in names:
                self._world.start(name)
        return "while nobody led" if names else "while it was used"
