"""What is broken: guests with agents and disks, two controllers, a gateway beside them, and the bus. All real."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from chaos.host import Host
from directpv_cli.commands.changing import discover
from directpv_cli.local.csi_client import CsiClient, connect
from directpv_cli.local.machine import processes
from directpv_cli.reading import drives_yaml
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from support import freezing
from support.cluster import eventually
from support.guest import disks as guest_disks
from support.guest import network
from support.guest.disks import Disk
from support.guest.node import Node
from support.guest.uml import DISK_SIZE, Uml, make_disk
from support.nats import NatsServer

T = TypeVar("T")
CONTROLLERS: Final = ("controller-1", "controller-2")
REGISTRY: Final = "registry.db"
FIRST_NUMBER: Final = 101
"""Of network cards, apart from those of other tests in the same process."""
SECTOR: Final = 512
LARGEST: Final = 2 * DISK_SIZE
"""Bytes to which a disk can grow."""
INIT_SECONDS: Final = 120.0
LOOK_SECONDS: Final = 5.0
"""Between two looks whether a guest is dead."""
MODULES: Final = {"controller": "directpv_controller", "gateway": "directpv_csi_gateway"}


class World:
    """All of it; made by :func:`world`."""

    def __init__(self, directory: Path, nats: NatsServer) -> None:
        self.directory, self.nats = directory, nats
        self.hosts: list[Host] = []
        self.bus: Bus
        self._running: dict[str, processes.Process] = {}

    @property
    def csi_socket(self) -> str:
        """Where CSI's controller service answers."""
        return str(self.directory / "csi.sock")

    def host_of(self, node: str) -> Host:
        """Return the host of a node."""
        return next(host for host in self.hosts if host.name == node)

    @contextlib.asynccontextmanager
    async def csi(self) -> AsyncIterator[CsiClient]:
        """Connect to CSI's controller service, as the sidecars would."""
        async with connect(self.csi_socket) as client:
            yield client

    # ---- programs outside of guests -------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start a controller or the gateway (again)."""
        kind = name.partition("-")[0]
        flags = {"nats-url": self.nats.url, "metrics-port": 0}
        if kind == "controller":
            flags |= {"registry": self.directory / REGISTRY, "lease-seconds": 3, "rebuild-seconds": 5}
        else:
            flags |= {"mode": "controller", "csi-socket": self.csi_socket}
        argv = [sys.executable, "-m", MODULES[kind], *(f"--{flag}={value}" for flag, value in flags.items())]
        self._running[name] = processes.start(name, argv, env={}, log=self.directory / f"{name}.log")

    def alive(self, name: str) -> bool:
        """Tell whether it runs."""
        return self._running[name].alive

    async def kill(self, name: str) -> None:
        """End it as a crash would."""
        await asyncio.to_thread(processes.kill, self._running[name])

    def lose_registry(self) -> None:
        """Remove the registry's file and what belongs to it."""
        for path in self.directory.glob(f"{REGISTRY}*"):
            path.unlink(missing_ok=True)

    def signal(self, name: str, which: signal.Signals) -> None:
        """Send a signal to it."""
        processes.send(self._running[name], which)

    def freeze(self, name: str) -> None:
        """Stop a controller in its tracks, at a moment in which another one can follow."""
        freezing.freeze(self._running[name].pid, self.directory / REGISTRY)

    def log(self, name: str) -> str:
        """Return all that it logged."""
        return (self.directory / f"{name}.log").read_text(errors="replace")

    async def leader(self) -> str | None:
        """Return which controller leads, or None if nobody says so."""
        try:
            reply = await self.bus.client.request("$SRV.INFO.directpv-controller", b"", timeout=2)
        except Exception:
            return None
        pid = int(json.loads(reply.data)["metadata"]["pid"])
        return next((name for name in CONTROLLERS if self._running[name].pid == pid), None)

    # ---- machines ---------------------------------------------------------------------------------------------------

    async def add(self, name: str, drives: int, memory: int) -> None:
        """Boot a guest with new disks, and start agent and gateway on it."""
        files = [make_disk(self.directory / f"{name}-{index}.img", LARGEST) for index in range(drives + 1)]
        machine = Uml(name, FIRST_NUMBER + len(self.hosts), self.directory, files, memory=memory)
        *disks, spare = (
            Disk(machine, index, serial=f"{name}{index:04d}", length=DISK_SIZE // SECTOR) for index in range(drives + 1)
        )
        settings = {"health-interval": 0}
        node = Node(machine, self.bus, self.nats.url, settings=settings)
        host = Host(node, machine, disks, spare, bays=[asyncio.Lock() for _ in disks])
        self.hosts.append(host)
        await self.boot(host)

    async def boot(self, host: Host) -> None:
        """Give a guest power, and start what runs on it."""
        host.former = dict(host.logs)
        await host.machine.start()
        await guest_disks.prepare(host.machine.hand)
        for disk in host.disks:
            await disk.attach()
        await asyncio.gather(host.node.start_agent(), host.node.start_gateway())

    async def initialise(self) -> None:
        """Make every disk a drive, by discover and init."""
        names = tuple(host.name for host in self.hosts)
        wanted = sum(len(host.disks) for host in self.hosts)

        async def found() -> discover.Found:
            found = await discover.find(self.bus, names, 30)
            assert len([device for _, device in found.devices if not device.denied]) == wanted, found
            return found

        requests = drives_yaml.parse(drives_yaml.render((await eventually(found, "disks are discovered")).devices))
        results = await discover.format_all(self.bus, requests, INIT_SECONDS)
        made = {(node, result.name): result.drive for node, result in results}
        for host in self.hosts:
            for disk in host.disks:
                drive = made[host.name, disk.name]
                assert drive is not None, results
                host.drives.append(drive.fsuuid)

    async def watched(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work``; raises TimerLost if a guest dies meanwhile by a fault of the testbed: then it shows nothing."""
        task = asyncio.create_task(work)
        try:
            while not (await asyncio.wait({task}, timeout=LOOK_SECONDS))[0]:
                for host in self.hosts:
                    await host.require_alive()
            return await task
        finally:
            if task.cancel():
                await asyncio.wait({task})

    async def write_logs(self) -> None:
        """Write what programs in guests logged beside the logs of the others, as far as guests answer."""
        await asyncio.gather(*(host.keep_logs() for host in self.hosts))
        for host in self.hosts:
            for program, text in host.logs.items():
                (self.directory / f"{host.name}-{program}.log").write_text(text)

    async def close(self) -> None:
        """End everything; nothing of it is left."""
        for name, process in self._running.items():
            processes.send(process, signal.SIGCONT)
            with contextlib.suppress(TimeoutError):
                await self.kill(name)
        for host in self.hosts:
            host.machine.close()


@contextlib.asynccontextmanager
async def world(directory: Path, *, nodes: int, drives: int, memory: int = 384) -> AsyncIterator[World]:
    """Run a world of ``nodes`` guests with so many drives each while the block runs, and no longer.

    The calling process must be in a network of its own (:func:`support.guest.network.enter`).
    """
    nats = NatsServer(directory / "jetstream", host=network.HOST)
    nats.start()
    made = World(directory, nats)
    try:
        async with connect_bus(nats.url, name="chaos", prefix="directpv.v1") as made.bus:
            for name in (*CONTROLLERS, "gateway"):
                made.start(name)
            for index in range(nodes):
                await made.add(f"n{index + 1}", drives, memory)
            try:
                await made.watched(made.initialise())
            except BaseException:
                await made.write_logs()
                raise
            yield made
    finally:
        await made.close()
        nats.kill()
