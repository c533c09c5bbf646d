"""Breaks things for a while, and mends them."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from chaos.model import Fault, History, Volume
from chaos.operations import NotAnswered, Operations
from chaos.schedule import DRIVE_FAULTS, Action, Kind
from chaos.world import BROKEN, Host, World
from support.guest.disks import Disk
from support.guest.node import AGENT, GATEWAY

WAIT_SECONDS: Final = 60.0
"""How long a fault waits for an earlier one to end."""
BAD_BLOCK: Final = 8 * 1024 * 1024
MEND_SECONDS: Final = 90.0
RESTART_SECONDS: Final = 90.0


class Occupied(Exception):
    """What shall fail is still busy with an earlier fault."""


class Faults:
    """What can be done to a world; each ends what it began, also when it is cancelled."""

    def __init__(self, world: World, history: History, operations: Operations, volumes: dict[str, Volume]) -> None:
        self._world, self._history, self._operations, self._volumes = world, history, operations, volumes
        self._middle = asyncio.Lock()
        self._bus = asyncio.Lock()

    async def run(self, action: Action) -> str:
        """Let it happen, and return in words what came of it.

        Raises:
            Occupied: An earlier fault takes longer than planned; nothing was done.
            Exception: Whatever breaking or mending raised.
        """
        if action.kind in DRIVE_FAULTS:
            return await self._drive(action)
        others: dict[Kind, Callable[[Action], Awaitable[str]]] = {
            Kind.KILL_AGENT: self._kill_agent,
            Kind.KILL_GATEWAY: self._kill_gateway,
            Kind.CUT: self._cut,
            Kind.CLOCK: self._clock,
            Kind.POWER: self._power,
            Kind.KILL_LEADER: self._kill_leader,
            Kind.FREEZE_LEADER: self._freeze_leader,
            Kind.KILL_BUS: self._kill_bus,
            Kind.LOSE_BUS: self._kill_bus,
        }
        return await others[action.kind](action)

    # ---- drives ---------------------------------------------------------------------------------------------------

    async def _drive(self, action: Action) -> str:
        host = self._world.hosts[action.node]
        disk, drive = host.disks[action.drive], host.drives[action.drive]
        await _take(host.bays[action.drive])
        fault = self._history.begin(drive, action.kind, time.monotonic())
        try:
            async with host.cable:  # what breaks the drive is told over the network
                await _break(disk, action)
            await asyncio.sleep(action.seconds)
        finally:
            await self._mended(host, action, fault)
        return f"{drive} as {disk.name} again"

    async def _mended(self, host: Host, action: Action, fault: Fault) -> None:
        """Mend the drive, whatever happens to this task meanwhile."""
        await asyncio.shield(asyncio.ensure_future(self._mend(host, action, fault)))

    async def _mend(self, host: Host, action: Action, fault: Fault) -> None:
        disk, deadline = host.disks[action.drive], time.monotonic() + MEND_SECONDS
        try:
            while True:
                try:
                    await _mend(disk, action.kind)
                    return
                except BROKEN:
                    if time.monotonic() > deadline:
                        raise
                    await asyncio.sleep(1)
        finally:
            fault.end(time.monotonic())
            host.bays[action.drive].release()

    # ---- nodes ----------------------------------------------------------------------------------------------------

    async def _kill_agent(self, action: Action) -> str:
        host = self._world.hosts[action.node]
        async with host.programs:
            async with host.cable:
                await host.node.end(AGENT)
            await asyncio.sleep(action.seconds)
            async with host.cable:
                await host.node.start_agent()
        return "serves again"

    async def _kill_gateway(self, action: Action) -> str:
        host = self._world.hosts[action.node]
        async with host.programs:
            async with host.cable:
                await host.node.end(GATEWAY)
            await asyncio.sleep(action.seconds)
            async with host.cable:
                await host.node.start_gateway()
        return "serves again"

    async def _cut(self, action: Action) -> str:
        host = self._world.hosts[action.node]
        port = host.machine.port
        async with _taken(host.cable):
            port.cut()
            try:
                await asyncio.sleep(action.seconds)
            finally:
                port.mend()
        return "cable is back"

    async def _clock(self, action: Action) -> str:
        host = self._world.hosts[action.node]
        async with _taken(host.cable):
            return await host.node.hand.run("date", "-s", f"{action.amount} seconds", within=10)

    async def _power(self, action: Action) -> str:
        """Cut the power of a node, and let kubelet mount afterwards what pods of it want mounted."""
        host = self._world.hosts[action.node]
        async with contextlib.AsyncExitStack() as held:
            for lock in (host.programs, *host.bays, host.cable):
                await held.enter_async_context(_taken(lock))
            await host.keep_logs()
            suffered = [self._history.begin(what, Kind.POWER, time.monotonic()) for what in (host.name, *host.drives)]
            try:
                await asyncio.to_thread(host.machine.kill)
                affected = [v for v in self._volumes.values() if v.node == host.name and v.exists and v.in_use]
                for volume in affected:
                    volume.started = volume.container = False
                await asyncio.sleep(action.seconds)
                await self._world.boot(host)
            finally:
                for fault in suffered:
                    fault.end(time.monotonic())
        await asyncio.gather(*(self._again(volume) for volume in affected))
        return f"{len([v for v in affected if v.started])} of {len(affected)} volumes in use again"

    async def _again(self, volume: Volume) -> None:
        with contextlib.suppress(NotAnswered, TimeoutError):
            async with self._operations.alone(volume):
                if volume.in_use and volume.exists:
                    await self._operations.start(volume, RESTART_SECONDS)

    # ---- the middle -----------------------------------------------------------------------------------------------

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
            self._world.signal(name, signal.SIGSTOP)
            try:
                await asyncio.sleep(action.seconds)
            finally:
                self._world.signal(name, signal.SIGCONT)
        return name

    async def _kill_bus(self, action: Action) -> str:
        async with self._bus:
            await asyncio.to_thread(self._world.nats.kill)
            if action.kind is Kind.LOSE_BUS:
                await asyncio.to_thread(self._world.nats.lose_store)
            try:
                await asyncio.sleep(action.seconds)
            finally:
                self._world.nats.start()
        return "the bus is back"


@contextlib.asynccontextmanager
async def _taken(lock: asyncio.Lock) -> AsyncIterator[None]:
    await _take(lock)
    try:
        yield
    finally:
        lock.release()


async def _take(lock: asyncio.Lock) -> None:
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await lock.acquire()
    except TimeoutError:
        raise Occupied from None


async def _fail_reads(disk: Disk) -> None:
    """As :meth:`Disk.fail_reads`, in larger pieces: adding thousands of bad blocks takes a busy guest minutes."""
    sectors = await disk.sectors()
    await disk.table(f"0 {sectors} dust {disk.machine.disk_device(disk.index)} 0 {BAD_BLOCK}")
    blocks = sectors * 512 // BAD_BLOCK
    await disk.hand.sh(
        f"for block in $(seq 0 {blocks - 1}); do dmsetup message {disk.mapped} 0 addbadblock $block; done 2>/dev/null;"
        f"dmsetup message {disk.mapped} 0 enable"
    )


async def _break(disk: Disk, action: Action) -> None:
    ways: dict[Kind, Callable[[], Awaitable[None]]] = {
        Kind.PULL: disk.pull,
        Kind.FAIL: disk.fail,
        Kind.FAIL_WRITES: disk.fail_writes,
        Kind.FAIL_READS: lambda: _fail_reads(disk),
        Kind.SLOW: lambda: disk.delay(action.amount),
        Kind.HANG: disk.hang,
    }
    await ways[action.kind]()


async def _mend(disk: Disk, kind: Kind) -> None:
    if kind is Kind.PULL:
        await disk.put_back()
    elif kind is Kind.HANG:
        await disk.resume()
    else:
        await disk.heal()
