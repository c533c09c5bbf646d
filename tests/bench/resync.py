"""How long a leader takes until it knows what is on all drives: a new one, and one whose connection to the bus was cut.

Nodes are played over a real bus by a process of their own: each tells all of its drives in one message, as agents do.
"""

import asyncio
import multiprocessing
import os
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import msgspec
from nats.aio.msg import Msg

import directpv_common.protocol.messages as m
from bench import programs, registry
from bench.measure import mib, show
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_common.calls.scopes import timeout
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller
from directpv_common.protocol.wire import encode
from support.nats import NatsServer

SIZES = ((10_000, 10_000), (100_000, 100_000))
"""Drives and volumes; twenty drives per node."""
LIMIT_SECONDS = 300.0
BEAT_SECONDS = 20.0
"""Of all nodes together so many heartbeats as are due, without keeping this machine busy with them alone."""


class Nodes:
    """All nodes of a cluster, over one connection."""

    def __init__(self, drives: int, volumes: int) -> None:
        self.held: dict[str, dict[str, m.HeldDrive]] = {}
        self.generation = 1
        for record in registry.drive_records(drives):
            held = m.HeldDrive(record=record, generation=1, readable=True, volumes=())
            self.held.setdefault(record.node, {})[record.fsuuid] = held
        of_drive = {fsuuid: node for node, each in self.held.items() for fsuuid in each}
        for volume in registry.volume_records(volumes, drives):
            each = self.held[of_drive[volume.fsuuid]]
            found = each[volume.fsuuid]
            told = (*found.volumes, m.HeldVolume(record=volume))
            each[volume.fsuuid] = msgspec.structs.replace(found, volumes=told)

    def state(self, node: str) -> bytes:
        drives = dict.fromkeys(self.held[node], self.generation)
        return encode(m.NodeState(info=_info(node), boot=_boot(node), sequence=1, drives=drives, unwell={}))

    def inventory(self, node: str, asked: tuple[str, ...]) -> bytes:
        held = self.held[node]
        changed = f"of-round-{self.generation}"
        told = tuple(
            msgspec.structs.replace(
                held[fsuuid],
                generation=self.generation,
                record=msgspec.structs.replace(held[fsuuid].record, device=changed),
            )
            for fsuuid in asked or held
        )
        return encode(m.Inventory(info=_info(node), boot=_boot(node), drives=told))


def _info(node: str) -> m.NodeInfo:
    return m.NodeInfo(name=node, topology={names.NODE: node})


def _boot(node: str) -> str:
    return f"boot of {node}"


def play(url: str, prefix: str, drives: int, volumes: int, ready: Event, changed: Event) -> None:
    """Be the nodes; with ``changed`` every drive has another device from then on."""
    asyncio.run(_play(url, prefix, Nodes(drives, volumes), ready, changed))


async def _play(url: str, prefix: str, nodes: Nodes, ready: Event, changed: Event) -> None:
    async with connect_bus(url, name="nodes", prefix=prefix) as bus:

        async def tell() -> None:
            if changed.is_set():
                nodes.generation = 2
            for node in nodes.held:
                await bus.client.publish(bus.subjects.state(node), nodes.state(node))

        async def asked(message: Msg) -> None:
            node = message.subject.split(".")[-3]
            request = msgspec.json.decode(message.data, type=m.GetInventory)
            await bus.client.publish(message.reply, nodes.inventory(node, request.drives))

        async def called(_: Msg) -> None:
            await tell()

        await bus.client.subscribe(f"{prefix}.node.*.inventory.get", cb=asked)
        await bus.client.subscribe(bus.subjects.roll_call, cb=called)
        await bus.client.flush()
        ready.set()
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await tell()


async def _taken_in(bus: Bus, drives: int, generation: int) -> None:
    """Wait until the leader knows of every drive what its node told last."""
    wanted = f"of-round-{generation}"
    left = [record.fsuuid for record in registry.drive_records(drives)]
    async with timeout(LIMIT_SECONDS):
        while left:
            some = tuple(left[-500:])
            page = await bus.call(Controller.DRIVE_LIST, m.ListDrives(ids=some, limit=500), within=60)
            if all(drive.record.device == wanted for drive in page.drives) and len(page.drives) == len(some):
                del left[-500:]
            else:
                await asyncio.sleep(0.05)


async def bench(work: Path, url: str) -> None:
    """Print the table."""
    rows = []
    for drives, volumes in SIZES:
        rows.append(await _row(work, drives, volumes))
    columns = ["drives", "volumes", "nodes", "new leader", "bus cut off", "its processor time", "leader's memory"]
    show("Resync: until the leader has taken in what is on all drives", columns, rows)


async def _row(work: Path, drives: int, volumes: int) -> list[str]:
    file, prefix = work / f"resync-{drives}.db", f"bench-resync-{drives}"
    registry.fill(file, drives=drives, volumes=volumes)
    server = NatsServer(work / f"nats-{drives}")
    server.start()
    context = multiprocessing.get_context("spawn")
    ready, changed = context.Event(), context.Event()
    player = context.Process(target=play, args=(server.url, prefix, drives, volumes, ready, changed), daemon=True)
    player.start()
    try:
        while not ready.is_set():
            assert player.is_alive(), "the nodes ended"
            await asyncio.sleep(0.05)
        settings = {
            "DIRECTPV_NATS_URL": server.url,
            "DIRECTPV_SUBJECT_PREFIX": prefix,
            "DIRECTPV_REGISTRY": str(file),
            "DIRECTPV_METRICS_PORT": "0",
        }
        async with connect_bus(server.url, name="bench", prefix=prefix) as bus:
            begun = time.perf_counter()
            with programs.program(
                *programs.python("directpv_controller"), env=settings, log=work / "leader.log"
            ) as leader:
                await _taken_in(bus, drives, 1)
                new = time.perf_counter() - begun
                changed.set()
                before = programs.cpu_seconds(leader.pid)
                begun = time.perf_counter()
                server.kill()
                server.start()
                await _taken_in(bus, drives, 2)
                again, busy = time.perf_counter() - begun, programs.cpu_seconds(leader.pid) - before
                memory = programs.resident(leader.pid)
    finally:
        player.kill()
        player.join(10)
        server.kill()
        file.unlink()
    nodes = drives // registry.DRIVES_PER_NODE
    load = os.getloadavg()[0]
    print(f"{drives:,} drives, load {load:.1f}", flush=True)
    return [f"{drives:,}", f"{volumes:,}", f"{nodes:,}", f"{new:.1f} s", f"{again:.1f} s", f"{busy:.1f} s", mib(memory)]
