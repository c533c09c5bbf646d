"""What happens to a node: to its agent, its gateway, its cable, its clock, its power."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

from chaos.kinds import Action, Kind
from chaos.locks import taken
from chaos.model import History, Volume, agent_of
from chaos.operations import NotAnswered, Operations
from chaos.world import World
from support.guest.node import AGENT, GATEWAY

RESTART_SECONDS: Final = 90.0


class NodeFaults:
    """See :class:`chaos.faults.Faults`."""

    def __init__(self, world: World, history: History, operations: Operations, volumes: Mapping[str, Volume]) -> None:
        self._world, self._history, self._operations, self._volumes = world, history, operations, volumes
        self.ways: dict[Kind, Callable[[Action], Awaitable[str]]] = {
            Kind.KILL_AGENT: self._kill_agent,
            Kind.KILL_GATEWAY: self._kill_gateway,
            Kind.CUT: self._cut,
            Kind.CLOCK: self._clock,
            Kind.POWER: self._power,
        }

    @contextlib.contextmanager
    def _suffering(self, kind: Kind, *what: str) -> Iterator[None]:
        suffered = [self._history.begin(each, kind, time.monotonic()) for each in what]
        try:
            yield
        finally:
            for fault in suffered:
                fault.end(time.monotonic())

    async def _kill_agent(self, action: Action) -> str:
        host = self._world.hosts[action.node]
        async with host.programs:
            with self._suffering(Kind.KILL_AGENT, agent_of(host.name)):
                async with host.cable:
                    await host.node.end(AGENT)
                await asyncio.sleep(action.seconds)
                async with host.cable:
                    await host.node.start_agent()
        return "serves again"

    async def _kill_gateway(self, action: Action) -> str:
        host = self._world.hosts[action.node]
        async with host.programs:
            with self._suffering(Kind.KILL_GATEWAY, agent_of(host.name)):
                async with host.cable:
                    await host.node.end(GATEWAY)
                await asyncio.sleep(action.seconds)
                async with host.cable:
                    await host.node.start_gateway()
        return "serves again"

    async def _cut(self, action: Action) -> str:
        host = self._world.hosts[action.node]
        port = host.machine.port
        async with taken(host.cable):
            suffered = self._history.begin(agent_of(host.name), Kind.CUT, time.monotonic())
            port.cut()
            try:
                await asyncio.sleep(action.seconds)
            finally:
                port.mend()
                suffered.end(time.monotonic())
            await host.reached()
        return "cable is back"

    async def _clock(self, action: Action) -> str:
        host = self._world.hosts[action.node]
        async with taken(host.cable):
            return await host.node.hand.run("date", "-s", f"{action.amount} seconds", within=10)

    async def _power(self, action: Action) -> str:
        """Cut the power of a node, and let kubelet mount afterwards what pods of it want mounted."""
        host = self._world.hosts[action.node]
        async with contextlib.AsyncExitStack() as held:
            for lock in (host.programs, *host.bays, host.cable):
                await held.enter_async_context(taken(lock))
            await host.keep_logs()
            with self._suffering(Kind.POWER, host.name, agent_of(host.name), *host.drives):
                await asyncio.to_thread(host.machine.kill)
                affected = [v for v in self._volumes.values() if v.node == host.name and v.exists and v.in_use]
                for volume in affected:
                    volume.started = volume.container = False
                await asyncio.sleep(action.seconds)
                await self._world.boot(host)
        await asyncio.gather(*(self._again(volume) for volume in affected))
        return f"{len([v for v in affected if v.started])} of {len(affected)} volumes in use again"

    async def _again(self, volume: Volume) -> None:
        with contextlib.suppress(NotAnswered, TimeoutError):
            async with self._operations.alone(volume):
                if volume.in_use and volume.exists:
                    await self._operations.start(volume, RESTART_SECONDS)
