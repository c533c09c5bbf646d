"""The controller's memory: microseconds per placement, seconds per take-over, bytes per drive and volume.

``python tests/bench/bench_ledger.py [--full]`` prints tables; ``--full`` goes up to 1,000,000 volumes.
"""

import argparse
import asyncio
import gc
import os
import random
import statistics
import tempfile
import time
import uuid
from pathlib import Path

import directpv_common.messages as m
from directpv_common import names
from directpv_controller.adapters.sqlite_registry import open_store, without_collector
from directpv_controller.core.ledger import Ledger
from directpv_controller.core.model import Snapshot, Writes
from directpv_controller.core.wanted import Wanted, wanted_from

GIB = 1024**3
DRIVES_PER_NODE = 20
ROUNDS = 2_000


def resident() -> int:
    """Return the resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def drives(count: int) -> list[m.DriveRecord]:
    """Return drives of 4 to 16 TiB, 20 per node, in 16 zones."""
    chance = random.Random(1)
    made = []
    for i in range(count):
        node = f"worker-{i // DRIVES_PER_NODE:05}"
        zone = f"z{i // DRIVES_PER_NODE % 16}"
        topology = {names.NODE: node, names.ZONE: zone, names.IDENTITY: names.DRIVER_NAME}
        total = chance.randrange(4, 16) * 1024 * GIB
        made.append(
            m.DriveRecord(
                fsuuid=str(uuid.UUID(int=chance.getrandbits(128))),
                node=node,
                total=total,
                overhead=GIB,
                device=f"nvme{i % DRIVES_PER_NODE}n1",
                topology=topology,
            )
        )
    return made


def volumes(count: int, on: list[m.DriveRecord]) -> list[m.VolumeRecord]:
    """Return volumes as the provisioner asks for them, evenly over the drives."""
    chance = random.Random(2)
    made = []
    for i in range(count):
        name = f"pvc-{uuid.UUID(int=chance.getrandbits(128))}"
        made.append(
            m.VolumeRecord(name=name, fsuuid=on[i % len(on)].fsuuid, capacity=GIB, created="2026-11-22T10:00:00Z")
        )
    return made


def per_placement(ledger: Ledger, asked: list[Wanted]) -> float:
    """Return the median microseconds of pick + reserve + done."""
    taken = []
    for wanted in asked:
        begun = time.perf_counter_ns()
        _, change = ledger.place(wanted, now="2026-11-22T10:00:00Z")
        assert change is not None
        change.done()
        taken.append(time.perf_counter_ns() - begun)
    return statistics.median(taken) / 1000


def bench_placement() -> None:
    """Print one row per number of drives."""
    print(f"microseconds to pick and reserve, median of {ROUNDS}")
    print(f"{'drives':>9} {'anywhere':>10} {'in a zone':>10} {'on a node':>10} {'with claim':>11}")
    for count in (100, 10_000, 100_000):
        records = drives(count)
        ledger = Ledger.load(Snapshot(records, []), random.random)
        claim = {names.VOLUME_CLAIM_ID: str(uuid.uuid4())}

        def ask(kind: str, limit: int = ROUNDS, **how: object) -> float:
            asked = [wanted_from(m.CreateVolume(name=f"{kind}-{i}", required=GIB, **how)) for i in range(limit)]
            return per_placement(ledger, asked)  # noqa: B023

        ask("warm", 1, requisite=({names.ZONE: "z1"},))
        figures = (
            ask("anywhere"),
            ask("zone", requisite=({names.ZONE: "z1"},)),
            ask("node", requisite=({names.NODE: records[0].node},)),
            ask("claim", min(ROUNDS, count // 2), parameters=claim),
        )
        print(f"{count:>9,} {figures[0]:>10.1f} {figures[1]:>10.1f} {figures[2]:>10.1f} {figures[3]:>11.1f}")


async def bench_takeover(volume_count: int, drive_count: int, directory: Path) -> None:
    """Print one row: how long reading the registry and building the memory take, and what memory they take."""
    path = directory / f"{volume_count}.db"
    await fill(path, drives(drive_count), volume_count)
    gc.collect()
    before = resident()
    async with open_store(path, holder="reader", ttl=300, observe=lambda size, seconds: None) as store:
        begun = time.perf_counter()
        snapshot = await store.registry.load()
        read = time.perf_counter()
        with without_collector():
            ledger = Ledger.load(snapshot, random.random)
        built = time.perf_counter()
    del snapshot
    used = resident() - before
    each = f"{used / (volume_count + drive_count):>10.0f}" if volume_count > 10_000 else f"{'-':>10}"
    assert len(ledger.volumes) == volume_count
    seconds = f"{read - begun:>8.2f} {built - read:>8.2f}"
    print(f"{drive_count:>9,} {volume_count:>10,} {seconds} {used / 2**20:>9.0f} {each}")


async def fill(path: Path, records: list[m.DriveRecord], count: int) -> None:
    """Write a registry."""
    async with open_store(path, holder="writer", ttl=300, observe=lambda size, seconds: None) as store:
        lease = await store.election.campaign()
        made = volumes(count, records)
        for start in range(0, max(len(records), count), 50_000):
            part = slice(start, start + 50_000)
            await store.registry.commit(Writes(tuple(records[part]), tuple(made[part])), lease)
        await lease.release()


async def bench_commits(directory: Path) -> None:
    """Print commits per second, one after another and 100 at once."""
    async with open_store(directory / "commits.db", holder="one", ttl=300, observe=lambda size, seconds: None) as store:
        lease = await store.election.campaign()
        (drive,) = drives(1)
        made = volumes(20_100, [drive])
        begun = time.perf_counter()
        for record in made[:1_000]:
            await store.registry.commit(Writes(volumes=(record,)), lease)
        alone = 1_000 / (time.perf_counter() - begun)
        begun = time.perf_counter()

        async def worker(start: int) -> None:
            for record in made[start::100]:
                await store.registry.commit(Writes(volumes=(record,)), lease)

        await asyncio.gather(*(worker(start) for start in range(100)))
        together = 20_100 / (time.perf_counter() - begun)
        print(f"fsynced commits per second: {alone:,.0f} one after another, {together:,.0f} with 100 in flight")


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="up to 1,000,000 volumes; takes a minute and 2 GB")
    full = parser.parse_args().full
    bench_placement()
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(bench_commits(Path(name)))
        print(f"{'drives':>9} {'volumes':>10} {'read s':>8} {'build s':>8} {'MiB':>9} {'bytes each':>10}")
        sizes = [(1_000, 100), (100_000, 10_000)] + ([(1_000_000, 100_000)] if full else [])
        for volume_count, drive_count in sizes:
            asyncio.run(bench_takeover(volume_count, drive_count, Path(name)))


if __name__ == "__main__":
    main()
