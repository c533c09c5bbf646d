"""Start-up time and memory of each service, bytes per drive and volume in the controller, the plugin's ``--help``."""

import subprocess
import sys
import time
from pathlib import Path

import directpv_common.protocol.messages as m
from bench import programs, registry
from bench.figures import DRIVE, VOLUME, Figure, Figures
from bench.measure import mib, ms, show
from bench.takeover import answered
from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.api import Node
from support.cluster import cluster

RUNS = 9
DRIVES, VOLUMES = 100_000, 1_000_000


async def compare(work: Path, url: str) -> Figures:
    """Measure only what the table of all figures needs."""
    return await per_object(work, url)


async def bench(work: Path, url: str) -> Figures:
    """Print three tables."""
    await services()
    figures = await per_object(work, url)
    help_time()
    return figures


async def services() -> None:
    """Start each service alone and wait for its first answer."""
    with cluster(nodes=1, drives=4) as running:
        await running.initialise()
        rows = [["nats-server", "", mib(programs.resident(running.stack.process("nats").pid)), "four drives"]]
        async with running.bus() as bus:
            rows.append(
                ["controller", ms(await started(running, "controller-1", answered(bus))), "", "to the first answer"]
            )
            ask = bus.call(Node.NODE_GET, m.Empty(), node="node-1", within=60, attempt=1)
            rows.append(
                ["node agent", ms(await started(running, "nodeagent-node-1", ask)), "", "drives mounted already"]
            )
            rows.append(
                ["CSI gateway", ms(await started(running, "gateway-node-1", listening(running.socket))), "", ""]
            )
            await answered(bus)
        for row, name in zip(rows[1:], ("controller-1", "nodeagent-node-1", "gateway-node-1"), strict=True):
            row[2] = mib(programs.resident(running.stack.process(name).pid))
    bare = floor_of([sys.executable, "-c", "import asyncio"])
    rows.append(["floor: python -c 'import asyncio'", ms(bare), "", f"median of {RUNS}"])
    show("Start and memory of each service", ["", "start", "resident", ""], rows)


async def started(running: object, name: str, ready: object) -> float:
    """Kill the service, start it, and time until ``ready``."""
    running.kill(name)  # type: ignore[attr-defined]
    begun = time.perf_counter()
    running.start(name)  # type: ignore[attr-defined]
    await ready  # type: ignore[misc]
    return time.perf_counter() - begun


async def listening(path: str) -> None:
    """Wait for the socket."""
    programs.wait_for(lambda: programs.listens(path), path)


async def per_object(work: Path, url: str) -> Figures:
    """Compare the controller's memory with nothing, with drives, and with drives and volumes."""
    memory = []
    for number, (drives, volumes) in enumerate(((0, 0), (DRIVES, 0), (DRIVES, VOLUMES))):
        file = work / f"footprint-{number}.db"
        registry.fill(file, drives=drives, volumes=volumes)
        prefix = f"footprint-{number}"
        settings = {
            "DIRECTPV_NATS_URL": url,
            "DIRECTPV_SUBJECT_PREFIX": prefix,
            "DIRECTPV_REGISTRY": str(file),
            "DIRECTPV_METRICS_PORT": "0",
        }
        async with connect_bus(url, name="bench", prefix=prefix) as bus:
            with programs.program(*programs.python("directpv_controller"), env=settings) as controller:
                await answered(bus)
                memory.append(programs.resident(controller.pid))
    empty, with_drives, full = memory
    drive, volume = (with_drives - empty) / DRIVES, (full - with_drives) / VOLUMES
    rows = [
        ["empty", mib(empty), ""],
        [f"{DRIVES:,} drives", mib(with_drives), f"{drive:,.0f} bytes per drive"],
        [f"and {VOLUMES:,} volumes", mib(full), f"{volume:,.0f} bytes per volume"],
    ]
    show("Memory of the controller", ["", "resident", ""], rows)
    return [Figure(DRIVE, drive), Figure(VOLUME, volume)]


def help_time() -> None:
    """Time the plugin's help beside an empty Python program."""
    plugin = str(Path(sys.executable).with_name("kubectl-directpv"))
    rows = [
        ["kubectl-directpv --help", ms(floor_of([plugin, "--help"]))],
        ["kubectl-directpv list drives --help", ms(floor_of([plugin, "list", "drives", "--help"]))],
        ["floor: python -c pass", ms(floor_of([sys.executable, "-c", "pass"]))],
    ]
    show(f"The plugin's help, median of {RUNS}", ["", "time"], rows)


def floor_of(command: list[str]) -> float:
    """Return the median seconds of running ``command``."""
    seconds = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=60)
        seconds.append(time.perf_counter() - begun)
    return sorted(seconds)[RUNS // 2]
