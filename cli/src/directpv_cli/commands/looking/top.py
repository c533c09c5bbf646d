"""``top drives|volumes``: what nodes sample, as it comes."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final

import directpv_common.protocol.messages as m
from directpv_cli.commands.listing import all_drives, all_volumes
from directpv_cli.reaching.session import run
from directpv_cli.showing.rates import Rates, rates
from directpv_cli.showing.terminal import screen, tables
from directpv_cli.showing.terminal.cells import Column
from directpv_cli.showing.terminal.lines import say
from directpv_common.bus.bus import Bus
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import DirectPVError, Unavailable
from directpv_common.protocol.units import format_bytes
from directpv_common.protocol.wire import decode

SETTLE_SECONDS: Final = 1.0
"""Nodes sample at different moments: what comes within so long is shown together."""
SILENT_SECONDS: Final = 60.0
"""Four samples of an agent."""
CLEAR: Final = "\x1b[H\x1b[2J"
"""Source: ECMA-48, CUP and ED."""
DRIVE_COLUMNS: Final = (
    Column("DRIVE ID"),
    Column("NODE"),
    Column("NAME"),
    Column("READ"),
    Column("WRITE"),
    Column("BUSY", goes=3),
    Column("QUEUE", goes=2),
    Column("TEMP", goes=4),
    Column("WEAR", goes=5),
)
VOLUME_COLUMNS: Final = (
    Column("VOLUME"),
    Column("NODE"),
    Column("USED"),
    Column("CAPACITY", goes=1),
    Column("FULL"),
    Column("PVC", goes=2),
)


class Samples:
    """The last sample of each node, and the one before."""

    def __init__(self) -> None:
        self.drives: dict[str, tuple[datetime, m.DriveMetrics]] = {}
        self.before: dict[str, tuple[datetime, m.DriveMetrics]] = {}
        self.volumes: dict[str, tuple[str, m.VolumeMetrics]] = {}

    def take(self, sample: m.NodeMetrics) -> None:
        """Note one part of a sample."""
        when = datetime.fromisoformat(sample.time)
        for drive in sample.drives:
            last = self.drives.get(drive.fsuuid)
            if last is not None and last[0] < when:
                self.before[drive.fsuuid] = last
            self.drives[drive.fsuuid] = (when, drive)
        for volume in sample.volumes:
            self.volumes[volume.name] = (sample.node, volume)

    def drive_cells(self, names: Mapping[str, m.DriveRecord]) -> Iterator[list[str]]:
        """Yield a row per drive, the busiest first; rates need two samples."""
        rows = [(self._rates(fsuuid), fsuuid) for fsuuid in self.drives]
        for (read, write, busy, queue, _), fsuuid in sorted(rows, key=lambda row: (-row[0][0] - row[0][1], row[1])):
            now, record = self.drives[fsuuid][1], names.get(fsuuid)
            known = fsuuid in self.before
            yield [
                fsuuid,
                record.node if record else "",
                record.device if record else "",
                f"{format_bytes(int(read))}/s" if known else "",
                f"{format_bytes(int(write))}/s" if known else "",
                f"{busy:.0%}" if known else "",
                f"{queue:.1f}" if known else "",
                "" if now.temperature_celsius is None else f"{now.temperature_celsius} °C",
                "" if now.wear_percent is None else f"{now.wear_percent}%",
            ]

    def _rates(self, fsuuid: str) -> Rates:
        """Return what is known of a drive's load; nothing before its second sample."""
        return rates(self.before[fsuuid], self.drives[fsuuid]) if fsuuid in self.before else Rates()

    def volume_cells(self, claims: Mapping[str, str]) -> Iterator[list[str]]:
        """Yield a row per volume, the fullest first."""
        order = sorted(self.volumes.items(), key=lambda item: (-_share(item[1][1]), item[0]))
        for name, (node, volume) in order:
            sizes = [format_bytes(volume.used), format_bytes(volume.total), f"{_share(volume):.0%}"]
            yield [name, node, *sizes, claims.get(name, "")]


def _share(volume: m.VolumeMetrics) -> float:
    return volume.used / volume.total if volume.total else 0.0


def drives(rounds: int) -> None:
    """Show drives with each sample, so often; 0: until interrupted."""

    async def work(bus: Bus) -> None:
        names = {drive.record.fsuuid: drive.record for drive in await all_drives(bus, m.ListDrives())}
        await _watch(bus, rounds, lambda samples: tables.show(DRIVE_COLUMNS, samples.drive_cells(names)))

    with contextlib.suppress(KeyboardInterrupt):
        run(work)


def volumes(rounds: int) -> None:
    """Show volumes with each sample, so often; 0: until interrupted."""

    async def work(bus: Bus) -> None:
        found = [volume.record for volume in await all_volumes(bus, m.ListVolumes())]
        claims = {each.name: f"{each.pvc_namespace}/{each.pvc_name}" for each in found if each.pvc_name}
        await _watch(bus, rounds, lambda samples: tables.show(VOLUME_COLUMNS, samples.volume_cells(claims)))

    with contextlib.suppress(KeyboardInterrupt):
        run(work)


async def _watch(bus: Bus, rounds: int, show: Callable[[Samples], None]) -> None:
    """Show what came, so often.

    Raises:
        Unavailable: No node samples anything.
    """
    samples, news = Samples(), asyncio.Event()

    def heard(data: bytes) -> None:
        with contextlib.suppress(DirectPVError, ValueError):
            samples.take(decode(data, m.NodeMetrics))
            news.set()

    await bus.subscribe(bus.subjects.metrics("*"), lambda message: heard(message.data))
    say("waiting for the nodes' samples, which come every 15 s unless they were told otherwise")
    shown = 0
    while not rounds or shown < rounds:
        try:
            async with timeout(SILENT_SECONDS):
                await news.wait()
        except TimeoutError:
            raise Unavailable(f"no node sampled anything for {SILENT_SECONDS:.0f} s; do their agents run?") from None
        await asyncio.sleep(SETTLE_SECONDS)
        news.clear()
        if screen.bordered():
            sys.stdout.write(CLEAR)
        show(samples)
        shown += 1
