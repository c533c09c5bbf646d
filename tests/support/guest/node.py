"""A node of a cluster: the real agent and the real gateway in a guest, which speak to a NATS server outside."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from grpclib.client import Channel

from directpv_cli.local.csi_client import CsiClient, client_of
from directpv_common.bus.bus import Bus
from directpv_common.protocol import api
from directpv_common.protocol.messages import StatVolume, VolumeStats
from support.guest.client import Done, Hand
from support.node_client import Client, eventually

ROOT: Final = "/var/lib/directpv"
SOCKET: Final = "/run/csi.sock"
AGENT: Final = "nodeagent"
GATEWAY: Final = "gateway"
UP_SECONDS: Final = 150.0


class Machine(Protocol):
    """What a node runs on."""

    name: str
    hand: Hand

    async def start(self) -> None:
        """Boot it."""

    def kill(self) -> None:
        """Cut its power."""


@dataclass
class Node:
    """Agent and gateway of one machine."""

    machine: Machine
    bus: Bus
    nats_url: str
    devices: str = "sd*,nvme*"
    """Not what is below the disks: device mapper shows the same content."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Further options of the agent."""
    has_gateway: bool = field(default=False, init=False)
    """Whether one was started; who needs one has it started, for that takes a guest as long as an agent."""
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    @property
    def name(self) -> str:
        """Name of the node."""
        return self.machine.name

    @property
    def hand(self) -> Hand:
        """The machine's hand."""
        return self.machine.hand

    @property
    def client(self) -> Client:
        """Asks the agent over the bus."""
        return Client(self.bus, self.name)

    async def start_agent(self, **settings: Any) -> None:
        """Start the agent, with quota required, and wait until it has looked at its drives."""
        options = {
            "node-name": self.name,
            "root": ROOT,
            "nats-url": self.nats_url,
            "devices": self.devices,
            "scan-interval": 2,
            "heartbeat-interval": 1,
            "metrics-interval": 1,
            **self.settings,
            **settings,
        }
        await self._start(AGENT, "directpv_nodeagent", options)
        await eventually(self.client.inventory, f"the agent of {self.name} serves", UP_SECONDS)

    async def start_gateway(self) -> None:
        """Start the gateway, and wait until it answers."""
        options = {"csi-socket": SOCKET, "node-name": self.name, "nats-url": self.nats_url}
        await self._start(GATEWAY, "directpv_csi_gateway", options)
        await self.hand.reach(SOCKET, UP_SECONDS)
        self.has_gateway = True

    async def _start(self, name: str, module: str, options: dict[str, Any]) -> None:
        flags = [f"--{option}={value}" for option, value in options.items()]
        await self.hand.start(name, sys.executable, "-m", module, *flags)

    async def end(self, name: str, how: signal.Signals = signal.SIGKILL) -> int:
        """End agent or gateway; return its exit status."""
        await self.hand.signal(name, how)
        return await self.hand.wait(name)

    async def restart_agent(self, how: signal.Signals = signal.SIGKILL, **settings: Any) -> None:
        """End the agent as a crash would (or by ``how``), and start it again."""
        await self.end(AGENT, how)
        await self.start_agent(**settings)

    async def log(self, name: str = AGENT) -> str:
        """Return what agent or gateway logged since the machine booted."""
        return (await self.hand.read(f"/run/logs/{name}.log")).decode(errors="replace")

    @contextlib.asynccontextmanager
    async def csi(self) -> AsyncIterator[CsiClient]:
        """Connect to the gateway's CSI socket, as kubelet on that node would; start the first gateway if need be."""
        async with self._starting:
            if not self.has_gateway:
                await self.start_gateway()
        port = await self.hand.forward(SOCKET)
        async with Channel(self.hand.address, port) as channel:
            yield client_of(channel)


class Pod:
    """Uses one volume as kubelet would for a pod, over the bus; paths are the guest's."""

    def __init__(self, node: Node, name: str) -> None:
        self.node, self.name = node, name
        self.staging = f"/var/lib/kubelet/plugins/{name}/globalmount"
        self.target = f"/var/lib/kubelet/pods/{name}/mount"

    async def start(self) -> None:
        """Stage and publish."""
        await self.node.hand.run("mkdir", "-p", str(Path(self.staging).parent), str(Path(self.target).parent))
        await self.node.client.stage(self.name, self.staging)
        await self.node.client.publish(self.name, self.staging, self.target)

    async def stop(self) -> None:
        """Unpublish and unstage."""
        await self.node.client.unpublish(self.name, self.target)
        await self.node.client.unstage(self.name, self.staging)

    async def write(self, name: str, text: str) -> Done:
        """Write a file and have it on the disk before it returns."""
        script = f"printf %s '{text}' | dd of={self.target}/{name} conv=fsync status=none"
        return await self.node.hand.attempt("sh", "-c", script)

    async def read(self, name: str) -> Done:
        """Read a file."""
        return await self.node.hand.attempt("cat", f"{self.target}/{name}")

    async def stats(self) -> VolumeStats:
        """Ask how full the volume is, and how well."""
        request = StatVolume(name=self.name, volume_path=self.target)
        return await self.node.client.ask(api.Node.VOLUME_STATS, request)  # type: ignore[no-any-return]
