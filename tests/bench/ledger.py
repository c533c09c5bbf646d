"""Inside the controller: microseconds to pick and reserve, beside a scan of all drives; commits, beside bare SQLite."""

import asyncio
import random
import sqlite3
import time
import uuid
from pathlib import Path

import directpv_common.protocol.messages as m
from bench import registry
from bench.measure import Samples, show, us
from directpv_common.protocol import names
from directpv_common.protocol.units import GIB
from directpv_common.protocol.wire import encode
from directpv_controller.core.placing.model import Drive, Snapshot, Writes
from directpv_controller.core.placing.wanted import wanted_from
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.registry.sqlite.registry import open_store

ROUNDS = 2_000
SCANS = 20
COMMITS = 1_000
WIDTH = 100


async def bench(work: Path, url: str) -> None:
    """Print two tables; the bus is not needed."""
    show(
        f"Pick and reserve, median of {ROUNDS:,}",
        ["drives", "on a node", "anywhere", "with a claim id", "beside: a scan of all drives"],
        [placements(count) for count in (100, 10_000, 100_000)],
    )
    await commits(work)


def placements(count: int) -> list[str]:
    """One row: the same ledger, asked in three ways."""
    ledger = Ledger.load(Snapshot(list(registry.drive_records(count)), []), random.random)
    claim = {names.VOLUME_CLAIM_ID: str(uuid.UUID(int=7))}
    nodes = max(1, count // registry.DRIVES_PER_NODE)
    on_node = ({names.NODE: registry.node_name(nodes // 2)},)
    figures = (
        placed(ledger, "node", ROUNDS, requisite=on_node),
        placed(ledger, "anywhere", ROUNDS),
        placed(ledger, "claim", min(ROUNDS, count // 2), parameters=claim),
        scanned(list(ledger.drives.values())),
    )
    return [f"{count:,}", *(us(samples.p50) for samples in figures)]


def placed(ledger: Ledger, kind: str, count: int, **asked: object) -> Samples:
    """Time ``count`` placements."""
    wishes = [wanted_from(m.CreateVolume(name=f"{kind}-{n}", required=GIB, **asked)) for n in range(count)]  # type: ignore[arg-type]
    seconds = []
    for wish in wishes:
        begun = time.perf_counter()
        _, change = ledger.place(wish, now="2026-01-01T00:00:00Z")
        assert change is not None
        change.done()
        seconds.append(time.perf_counter() - begun)
    return Samples(tuple(seconds), sum(seconds))


def scanned(drives: list[Drive]) -> Samples:
    """Time what looking at every drive takes at least: one comparison each."""
    seconds = []
    for _ in range(SCANS):
        begun = time.perf_counter()
        max(drives, key=lambda drive: drive.allocated)
        seconds.append(time.perf_counter() - begun)
    return Samples(tuple(seconds), sum(seconds))


async def commits(work: Path) -> None:
    """Print commits per second, one after another and many in flight, beside bare SQLite with the same rows."""
    records = list(registry.volume_records(COMMITS * 20, 1))
    async with open_store(work / "commits.db", holder="bench", ttl=300, observe=lambda size, seconds: None) as store:
        lease = await store.election.campaign()
        begun = time.perf_counter()
        for record in records[:COMMITS]:
            await store.registry.commit(Writes(volumes=(record,)), lease)
        alone = COMMITS / (time.perf_counter() - begun)

        async def worker(start: int) -> None:
            for record in records[start::WIDTH]:
                await store.registry.commit(Writes(volumes=(record,)), lease)

        begun = time.perf_counter()
        await asyncio.gather(*(worker(start) for start in range(WIDTH)))
        together = len(records) / (time.perf_counter() - begun)
    rows = [(record.name, encode(record)) for record in records]
    bare_alone = await asyncio.to_thread(bare, work / "bare-1.db", rows[:COMMITS], 1)
    bare_together = await asyncio.to_thread(bare, work / "bare-2.db", rows, WIDTH)
    table = [
        ["registry", f"{alone:,.0f}", f"{together:,.0f}"],
        ["floor: bare SQLite, no fence, no futures", f"{bare_alone:,.0f}", f"{bare_together:,.0f}"],
    ]
    show("Fsynced commits of one volume each, per second", ["", "one by one", f"{WIDTH} in flight"], table)


def bare(path: Path, rows: list[tuple[str, bytes]], width: int) -> float:
    """Return rows per second, ``width`` per transaction."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE volumes (name TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID")
    begun = time.perf_counter()
    for start in range(0, len(rows), width):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("REPLACE INTO volumes VALUES (?, ?)", rows[start : start + width])
        connection.execute("COMMIT")
    rate = len(rows) / (time.perf_counter() - begun)
    connection.close()
    return rate
