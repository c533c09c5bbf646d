"""What a test with guests stands on: machines, nodes on them, and what they tell on the bus."""

import contextlib
import itertools
import json
import time
from pathlib import Path
from typing import Any

from nats.aio.msg import Msg

from directpv_common.bus.bus import Bus
from support.guest import disks as guest_disks
from support.guest.disks import Disk
from support.guest.node import AGENT, GATEWAY, Node
from support.guest.uml import Uml, make_disk
from support.nats import NatsServer
from support.node_client import eventually

_numbers = itertools.count(1)


class Lab:
    """Guests of one test."""

    def __init__(self, directory: Path, nats: NatsServer, bus: Bus) -> None:
        self.directory, self.nats, self.bus = directory, nats, bus
        self.machines: list[Uml] = []
        self.nodes: list[Node] = []

    async def boot(self, name: str = "n1", disks: int = 2, files: list[Path] | None = None) -> Uml:
        """Boot a guest with so many new disks, or with disks over ``files``."""
        files = files or [make_disk(self.directory / f"{name}-{index}.img") for index in range(disks)]
        machine = Uml(name, next(_numbers), self.directory, files)
        self.machines.append(machine)
        await machine.start()
        await guest_disks.prepare(machine.hand)
        return machine

    async def node(self, machine: Uml, **settings: Any) -> Node:
        """Start an agent on a guest."""
        node = Node(machine, self.bus, self.nats.url, settings=settings)
        self.nodes.append(node)
        await node.start_agent()
        return node

    async def node_with_drives(
        self, name: str = "n1", drives: int = 2, **settings: Any
    ) -> tuple[Node, list[Disk], list[str]]:
        """Boot a node with so many disks, all made drives; return it, the disks, and the drives' ids."""
        machine = await self.boot(name, drives)
        disks = [Disk(machine, index) for index in range(drives)]
        for disk in disks:
            await disk.attach()
        node = await self.node(machine, **settings)
        results = await node.client.format(*(disk.name for disk in disks))
        assert [result.error for result in results] == [""] * drives
        return node, disks, [result.drive.fsuuid for result in results if result.drive]

    async def reboot(self, machine: Uml) -> None:
        """Cut a guest's power and boot it again; its disks have to be attached again."""
        machine.kill()
        await machine.start()
        await guest_disks.prepare(machine.hand)

    async def close(self, failed: bool) -> None:
        for node in self.nodes if failed else ():
            for name in (AGENT, GATEWAY):
                with contextlib.suppress(Exception):
                    print(f"---- {node.name} {name}", (await node.log(name))[-6000:], sep="\n")
        for machine in self.machines:
            if failed:
                print(f"---- console of {machine.name}", machine.console[-3000:], sep="\n")
            machine.close()


class Tap:
    """Every event that was told since the test began."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def hear(self, message: Msg) -> None:
        """Take in one message of the bus."""
        self.seen.append({**json.loads(message.data), "heard": time.monotonic()})

    def heard(self, kind: str, subject: str) -> float:
        """Return the monotonic time at which the first such event was heard."""
        return next(
            float(event["heard"])
            for event in self.seen
            if event["type"].endswith(f".{kind}") and event["subject"] == subject
        )

    def of(self, kind: str, subject: str = "") -> list[dict[str, Any]]:
        """Return the data of events of a kind such as ``drive.lost``, about one object or any."""
        return [
            event["data"]
            for event in self.seen
            if event["type"].endswith(f".{kind}") and subject in ("", event["subject"])
        ]

    async def one(self, kind: str, subject: str = "", within: float = 30.0) -> dict[str, Any]:
        """Wait for an event and return its data."""

        async def look() -> list[dict[str, Any]]:
            return self.of(kind, subject)

        found: list[dict[str, Any]] = await eventually(look, f"event {kind} about {subject or 'anything'}", within)
        return found[-1]

    def clear(self) -> None:
        """Forget what was told."""
        self.seen.clear()
