"""From a drive that appears to its event on the bus, beside the uevent itself as this process sees it."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pyudev

import directpv_common.protocol.messages as m
from bench.figures import EVENT, Figure, Figures
from bench.measure import Samples, ms, show
from directpv_cli.local.machine import disks
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Node
from support.cluster import Cluster, cluster

ROUNDS = 12
SECONDS = 30


async def bench(work: Path, url: str) -> Figures:
    """Print the table; the stack brings a bus of its own."""
    kernel: list[float] = []
    udev: list[float] = []
    event: list[float] = []
    with cluster(nodes=1, drives=1) as running:
        await running.initialise()
        node = running.stack.nodes[0]
        image = next(Path(node.root).parent.glob("drives/*.img"))
        async with running.bus() as bus:
            for _ in range(ROUNDS):
                await without_drive(running, bus)
                seen = await appear(bus, node.devices[0], image)
                kernel.append(seen["kernel"])
                udev.append(seen["udev"])
                event.append(seen["event"])
    rows = [
        [name, ms(samples.p50), ms(samples.p99)]
        for name, samples in (
            ("floor: uevent of the kernel", Samples(tuple(kernel), 1)),
            ("floor: event of udevd", Samples(tuple(udev), 1)),
            ("drive.added on the bus: probed, mounted, checked", Samples(tuple(event), 1)),
        )
    ]
    show("A drive appears (from the call that attaches it)", ["", "p50", f"worst of {ROUNDS}"], rows)
    return [Figure(EVENT, Samples(tuple(event), 1).p50, Samples(tuple(udev), 1).p50)]


async def without_drive(running: Cluster, bus: Bus) -> None:
    """Bring the agent to the state before the drive is there."""
    running.kill("nodeagent-node-1")
    disks.undo(running.stack.directory)
    running.start("nodeagent-node-1")
    await bus.call(Node.NODE_GET, m.Empty(), node="node-1", within=SECONDS, attempt=1)


async def appear(bus: Bus, device: str, image: Path) -> dict[str, float]:
    """Attach the drive; return the seconds until each party noticed."""
    loop = asyncio.get_running_loop()
    seen: dict[str, asyncio.Future[float]] = {name: loop.create_future() for name in ("kernel", "udev", "event")}

    def note(name: str) -> None:
        if not seen[name].done():
            seen[name].set_result(time.perf_counter())

    monitors = [watch(source, device, note) for source in ("kernel", "udev")]

    def on_event(message: Any) -> None:
        if json.loads(message.data)["type"].endswith("drive.added"):
            note("event")

    # As the role of administrators has it, who may not hear whatever else may come below.
    unsubscribe = await bus.subscribe(bus.subjects.all_events.replace(">", "*.*.*"), on_event)
    await bus.client.flush()
    begun = time.perf_counter()
    await asyncio.to_thread(disks.command, "losetup", f"/dev/{device}", str(image))
    async with asyncio.timeout(SECONDS):
        times = dict(zip(seen, await asyncio.gather(*seen.values()), strict=True))
    await unsubscribe()
    for monitor in monitors:
        loop.remove_reader(monitor.fileno())
    return {name: at - begun for name, at in times.items()}


def watch(source: str, device: str, note: Any) -> Any:
    """Call ``note(source)`` at the first event about ``device``."""
    monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source=source)
    monitor.filter_by("block")
    monitor.start()

    def drain() -> None:
        while (found := monitor.poll(timeout=0)) is not None:
            if found.sys_name == device:
                note(source)

    asyncio.get_running_loop().add_reader(monitor.fileno(), drain)
    return monitor
