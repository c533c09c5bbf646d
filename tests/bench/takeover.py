"""How long nobody leads after the leader was killed, with few and many volumes."""

import os
import signal
import time
from pathlib import Path

import directpv_common.protocol.messages as m
from bench import programs, registry
from bench.figures import TAKEOVER, Figure, Figures
from bench.measure import mib, ms, show
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.api import Controller

SIZES = ((100, 1_000), (10_000, 100_000), (100_000, 1_000_000))
LEASE = 3.0


async def compare(work: Path, url: str) -> Figures:
    """Measure only what the table of all figures needs."""
    return await bench(work, url, SIZES[-1:])


async def bench(work: Path, url: str, sizes: tuple[tuple[int, int], ...] = SIZES) -> Figures:
    """Print the table."""
    rows = []
    for drives, volumes in sizes:
        file = work / f"registry-{volumes}.db"
        registry.fill(file, drives=drives, volumes=volumes)
        killed, alone, memory = await take_over(url, file, signal.SIGKILL)
        frozen, _, _ = await take_over(url, file, signal.SIGSTOP)
        rows.append([f"{volumes:,}", f"{drives:,}", ms(killed), ms(frozen), ms(alone), mib(memory)])
        file.unlink()
    columns = ["volumes", "drives", "killed", f"frozen (lease {LEASE:g} s)", "start of a lone one", "leader's memory"]
    show("Take-over: time from the leader's end to the standby's first answer", columns, rows)
    return [Figure(TAKEOVER, killed)]


async def take_over(url: str, file: Path, end: signal.Signals) -> tuple[float, float, int]:
    """Start two controllers, end the leader with ``end``, wait for the other; also time the start of the first."""
    prefix = f"bench-{file.stem}-{end.name}"
    settings = {
        "DIRECTPV_NATS_URL": url,
        "DIRECTPV_SUBJECT_PREFIX": prefix,
        "DIRECTPV_REGISTRY": str(file),
        "DIRECTPV_LEASE_SECONDS": str(LEASE),
        "DIRECTPV_METRICS_PORT": "0",
    }
    command = programs.python("directpv_controller")
    log, second_log = file.with_name(f"{prefix}-1.log"), file.with_name(f"{prefix}-2.log")
    async with connect_bus(url, name="bench", prefix=prefix) as bus:
        begun = time.perf_counter()
        with programs.program(*command, env=settings, log=log) as first:
            await answered(bus)
            alone = time.perf_counter() - begun
            with programs.program(*command, env=settings, log=second_log):
                programs.wait_for(lambda: "standing by" in second_log.read_text(), "the standby")
                memory = programs.resident(first.pid)
                ended = time.perf_counter()
                os.kill(first.pid, end)
                await answered(bus)
                seconds = time.perf_counter() - ended
    return seconds, alone, memory


async def answered(bus: Bus) -> None:
    """Wait until a leader answers."""
    await bus.call(Controller.VOLUME_LIST, m.ListVolumes(limit=1), within=120, attempt=0.1)
