"""How long nobody leads after the leader was killed, with few and many volumes."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import directpv_common.messages as m
from bench import programs, registry
from bench.measure import mib, ms, show
from directpv_common.api import Controller
from directpv_common.bus import Bus, connect_bus

SIZES = ((100, 1_000), (10_000, 100_000), (100_000, 1_000_000))
LEASE = 3.0


async def bench(work: Path, url: str) -> None:
    """Print the table."""
    rows = []
    for drives, volumes in SIZES:
        file = work / f"registry-{volumes}.db"
        registry.fill(file, drives=drives, volumes=volumes)
        rows.append([f"{volumes:,}", f"{drives:,}", *await take_over(work, url, file, f"bench-{volumes}")])
        file.unlink()
    columns = ["volumes", "drives", f"kill -9 to first answer (lease {LEASE:g} s)", "beyond the lease", "start alone"]
    show("Take-over: the leader is killed, the standby answers", [*columns, "leader's memory"], rows)


async def take_over(work: Path, url: str, file: Path, prefix: str) -> list[str]:
    """Start two controllers, kill the leader, wait for the other."""
    settings = {
        "DIRECTPV_NATS_URL": url,
        "DIRECTPV_SUBJECT_PREFIX": prefix,
        "DIRECTPV_REGISTRY": str(file),
        "DIRECTPV_LEASE_SECONDS": str(LEASE),
        "DIRECTPV_METRICS_PORT": "0",
    }
    command = programs.python("directpv_controller")
    log = work / f"{prefix}.log"
    async with connect_bus(url, name="bench", prefix=prefix) as bus:
        begun = time.perf_counter()
        with programs.program(*command, env=settings, log=log) as first:
            await answered(bus)
            alone = time.perf_counter() - begun
            with programs.program(*command, env=settings, log=log):
                await asyncio.sleep(LEASE)  # the standby connects and waits; nothing tells when it is ready
                memory = programs.resident(first.pid)
                assert await leader(bus) == first.pid
                killed = time.perf_counter()
                os.kill(first.pid, signal.SIGKILL)
                await answered(bus)
                seconds = time.perf_counter() - killed
    return [ms(seconds), ms(max(0.0, seconds - LEASE)), ms(alone), mib(memory)]


async def answered(bus: Bus) -> None:
    """Wait until a leader answers."""
    await bus.call(Controller.VOLUME_LIST, m.ListVolumes(limit=1), within=120, attempt=1)


async def leader(bus: Bus) -> int:
    """Return the pid of the leader."""
    reply = await bus.client.request("$SRV.INFO.directpv-controller", b"", timeout=10)
    return int(json.loads(reply.data)["metadata"]["pid"])
