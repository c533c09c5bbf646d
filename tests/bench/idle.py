"""What services cost when nobody asks them anything: processor time and memory, with 24 drives."""

import asyncio
from pathlib import Path

from bench import programs
from bench.figures import AGENT, IDLE, Figure, Figures, percent
from bench.measure import mib, show
from support.cluster import cluster

DRIVES = 24
SETTLE, SECONDS = 10.0, 60.0
NAMES = ("nodeagent-node-1", "controller-1", "gateway-node-1", "nats")


async def bench(work: Path, url: str) -> Figures:
    """Print the table; the stack brings a bus of its own."""
    with cluster(nodes=1, drives=DRIVES) as running:
        await running.initialise()
        pids = {name: running.stack.process(name).pid for name in NAMES}
        await asyncio.sleep(SETTLE)
        before = {name: programs.cpu_seconds(pid) for name, pid in pids.items()}
        await asyncio.sleep(SECONDS)
        used = {name: (programs.cpu_seconds(pid) - before[name]) / SECONDS for name, pid in pids.items()}
        memory = {name: programs.resident(pid) for name, pid in pids.items()}
    rows = [[name, percent(used[name]), mib(memory[name])] for name in NAMES]
    show(f"Idle, {DRIVES} drives, {SECONDS:.0f} s", ["", "of one core", "resident"], rows)
    return [Figure(IDLE, used[NAMES[0]]), Figure(AGENT, memory[NAMES[0]])]
