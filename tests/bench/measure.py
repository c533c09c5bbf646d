"""Samples and what is said of them."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Samples:
    """Seconds per operation, and seconds for all of them together."""

    seconds: tuple[float, ...]
    wall: float

    def percentile(self, percent: float) -> float:
        """Seconds below which ``percent`` of the samples are."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    @property
    def p50(self) -> float:
        return self.percentile(50)

    @property
    def p99(self) -> float:
        return self.percentile(99)

    @property
    def rate(self) -> float:
        """Operations per second."""
        return len(self.seconds) / self.wall


async def one_by_one(work: Callable[[int], Awaitable[object]], count: int, warm: int = 20) -> Samples:
    """Time ``count`` calls of ``work(n)``, one after another."""
    for number in range(warm):
        await work(-1 - number)
    seconds = []
    begun = time.perf_counter()
    for number in range(count):
        start = time.perf_counter()
        await work(number)
        seconds.append(time.perf_counter() - start)
    return Samples(tuple(seconds), time.perf_counter() - begun)


async def at_once(work: Callable[[int], Awaitable[object]], count: int, width: int) -> Samples:
    """Time ``count`` calls of ``work(n)``, ``width`` at any moment."""
    import asyncio

    seconds: list[float] = []
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            start = time.perf_counter()
            await work(number)
            seconds.append(time.perf_counter() - start)

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(width):
            tasks.create_task(worker())
    return Samples(tuple(seconds), time.perf_counter() - begun)


def ms(seconds: float) -> str:
    """Milliseconds for a cell."""
    return f"{seconds * 1000:.2f} ms" if seconds < 10 else f"{seconds:.1f} s"


def us(seconds: float) -> str:
    """Microseconds for a cell."""
    return f"{seconds * 1e6:.1f} µs"


def mib(size: float) -> str:
    """MiB for a cell."""
    return f"{size / 2**20:.1f} MiB"


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table at once, so that a run that is cut short has shown what it measured."""
    table = Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    console = Console(width=150)
    console.print(table)
    console.file.flush()
