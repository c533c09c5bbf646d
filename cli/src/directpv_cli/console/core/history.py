"""What nodes sampled since the console began: a track per drive, of bounded size, and the curves drawn of it."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from math import isnan, nan
from typing import Final, NamedTuple

import directpv_common.protocol.messages as m
from directpv_cli.showing.rates import Sample, rates
from directpv_common.protocol.units import format_bytes

KEPT: Final = 240
"""Points of a drive: an hour, at four a minute."""
FIELDS: Final = 5
WIDTH, HEIGHT = 240, 60
"""Of a drawing, in its own units."""


class Point(NamedTuple):
    """Load and temperature at one time; NaN: not known."""

    seconds: float
    """Since the console began to hear."""
    read: float
    write: float
    latency: float
    celsius: float


class History:
    """The last sample of each drive and volume, and a track of each drive."""

    def __init__(self) -> None:
        self.disks: dict[str, m.DriveMetrics] = {}
        self.volumes: dict[str, m.VolumeMetrics] = {}
        self._last: dict[str, Sample] = {}
        self._tracks: dict[str, array[float]] = {}
        self._begin: datetime | None = None

    def take(self, sample: m.NodeMetrics) -> None:
        """Note one part of a sample; one that came before is no news."""
        when = datetime.fromisoformat(sample.time)
        self._begin = self._begin or when
        for drive in sample.drives:
            self._take(drive, when, (when - self._begin).total_seconds())
        for volume in sample.volumes:
            self.volumes[volume.name] = volume

    def _take(self, drive: m.DriveMetrics, when: datetime, seconds: float) -> None:
        last = self._last.get(drive.fsuuid)
        if last is not None and last[0] >= when:
            return
        self._last[drive.fsuuid] = when, drive
        self.disks[drive.fsuuid] = drive
        if last is None:
            return
        found = rates(last, (when, drive))
        celsius = nan if drive.temperature_celsius is None else drive.temperature_celsius
        latency = nan if found.latency is None else found.latency
        track = self._tracks.setdefault(drive.fsuuid, array("f"))
        track.extend((seconds, found.read, found.write, latency, celsius))
        if len(track) > FIELDS * KEPT:
            del track[:FIELDS]

    def points(self, fsuuid: str) -> list[Point]:
        """Return the track of a drive, oldest first."""
        track = self._tracks.get(fsuuid, array("f"))
        return [Point(*track[begin : begin + FIELDS]) for begin in range(0, len(track), FIELDS)]

    def forget(self, fsuuids: Mapping[str, object], names: Mapping[str, object]) -> None:
        """Forget drives and volumes that are none of these."""
        for known in (self.disks, self._last, self._tracks):
            for fsuuid in known.keys() - fsuuids.keys():
                del known[fsuuid]
        for name in self.volumes.keys() - names.keys():
            del self.volumes[name]


class Curve(NamedTuple):
    """One line of a drawing."""

    name: str
    now: str
    most: str
    points: str
    """As SVG takes them; empty: nothing is known."""


class Chart(NamedTuple):
    """A drawing, and what it says in words."""

    title: str
    curves: Sequence[Curve]

    @property
    def said(self) -> str:
        """The drawing for those who do not see it."""
        return f"{self.title}: " + "; ".join(f"{each.name} {each.now} now, {each.most} at most" for each in self.curves)


def charts(points: Sequence[Point]) -> list[Chart]:
    """Return throughput, latency and temperature."""
    times = [point.seconds for point in points]
    reads, writes = [point.read for point in points], [point.write for point in points]
    top = max([*reads, *writes], default=0.0)
    late, warm = [point.latency for point in points], [point.celsius for point in points]
    return [
        Chart("Throughput", [_curve("read", times, reads, top, _speed), _curve("written", times, writes, top, _speed)]),
        Chart("Latency", [_curve("per request", times, late, max(known(late), default=0.0), _time)]),
        Chart("Temperature", [_curve("disk", times, warm, max(known(warm), default=0.0), _warmth)]),
    ]


def known(values: Sequence[float]) -> Iterator[float]:
    """Yield the values that are known."""
    return (value for value in values if not isnan(value))


def _curve(name: str, times: Sequence[float], values: Sequence[float], top: float, word: object) -> Curve:
    assert callable(word)
    there = [(time, value) for time, value in zip(times, values, strict=True) if not isnan(value)]
    if not there:
        return Curve(name, "not known", "not known", "")
    begin, length = times[0], max(times[-1] - times[0], 1.0)
    drawn = " ".join(
        f"{(time - begin) / length * WIDTH:.1f},{HEIGHT - 2 - value / (top or 1.0) * (HEIGHT - 4):.1f}"
        for time, value in there
    )
    return Curve(name, word(there[-1][1]), word(max(value for _, value in there)), drawn)


def _speed(value: float) -> str:
    return f"{format_bytes(int(value))}/s"


def _time(value: float) -> str:
    return f"{value * 1000:.1f} ms"


def _warmth(value: float) -> str:
    return f"{value:.0f} °C"
