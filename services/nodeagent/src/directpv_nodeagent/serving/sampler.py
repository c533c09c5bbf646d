"""Samples drives and volumes in threads, now and then; what is asked for metrics gets the last sample at once."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from msgspec.structs import replace

from directpv_common.bus.bus import Bus
from directpv_common.calls.context import detached
from directpv_common.process.clock import now_rfc3339
from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.messages import ConditionType, DriveMetrics, NodeMetrics, VolumeMetrics, VolumeRecord
from directpv_common.protocol.wire import encode
from directpv_nodeagent.devices.core.io_stats import IoStats
from directpv_nodeagent.devices.core.smart import Health
from directpv_nodeagent.devices.sysfs import Roots, is_rotational, read_io_stats
from directpv_nodeagent.drives.core.slowness import Pace, judged
from directpv_nodeagent.drives.taken.drives import Drives
from directpv_nodeagent.layout import usage
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.layout.usage import Measured, Room

log = logging.getLogger(__name__)

SAMPLE_SECONDS: Final = 10.0
COUNT_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 2.0
"""How long a sample waits for its slowest drive; the figures of the others must not get old."""
PART_BYTES: Final = 400_000
"""Of a sample on the bus: less than half of what a message carries."""
NO_HEALTH: Final = Health()


@dataclass(frozen=True, slots=True)
class DriveSample:
    """One drive; ``stats`` is None while its device is missing, ``room`` if it could not be asked."""

    fsuuid: str
    device: str
    rotational: bool | None
    stats: IoStats | None
    room: Room | None
    health: Health | None


@dataclass(frozen=True, slots=True)
class Counted:
    """What the kernel tells of a drive's device."""

    stats: IoStats | None
    rotational: bool | None


@dataclass(frozen=True, slots=True)
class Figures:
    """What a drive itself tells; volumes by name."""

    room: Room | None
    volumes: Mapping[str, Measured]


NOT_COUNTED: Final = Counted(None, None)
NO_FIGURES: Final = Figures(None, {})


@dataclass(frozen=True, slots=True)
class VolumeSample:
    """One volume; ``measured`` is None if it is not published, or could not be measured."""

    record: VolumeRecord
    published: bool
    measured: Measured | None


@dataclass(frozen=True, slots=True)
class Sample:
    """All of one moment."""

    drives: tuple[DriveSample, ...] = ()
    volumes: tuple[VolumeSample, ...] = ()
    time: str = field(default_factory=now_rfc3339)


class Sampler:
    """Keeps the last sample of this node."""

    def __init__(self, drives: Drives, health: Callable[[str], Health | None]) -> None:
        """``health`` returns what is known of a drive's health, by its id."""
        self._drives = drives
        self._health = health
        self._measuring: dict[str, asyncio.Task[Figures]] = {}
        self._paces: dict[str, Pace] = {}
        self.latest = Sample()

    async def run(self, interval: float) -> None:
        """Sample every ``interval`` seconds, until cancelled."""
        while True:
            await self.sample()
            await asyncio.sleep(interval)

    async def publish(self, bus: Bus, interval: float) -> None:
        """Publish the last sample every ``interval`` seconds, until cancelled."""
        while True:
            for part in parts_of(self._message(), min(PART_BYTES, bus.client.max_payload // 2)):
                await bus.publish(bus.subjects.metrics(self._drives.host.node), part)
            await asyncio.sleep(interval)

    async def sample(self) -> None:
        """Sample all drives at the same time; volumes of one that does not answer soon have no figures."""
        drives = list(self._drives.by_id.values())
        counted = await self._counters(drives)
        self._judge({fsuuid: found.stats for fsuuid, found in counted.items()})
        measured = await self._measure_all(drives)
        self.latest = Sample(
            tuple(self._drive_sample(drive, counted, measured.get(drive.fsuuid, NO_FIGURES)) for drive in drives),
            tuple(
                volume
                for drive in drives
                for volume in _volume_samples(drive, measured.get(drive.fsuuid, NO_FIGURES).volumes)
            ),
        )

    def _drive_sample(self, drive: Drive, counted: Mapping[str, Counted], figures: Figures) -> DriveSample:
        found = counted.get(drive.fsuuid, NOT_COUNTED)
        health = self._health(drive.fsuuid)
        return DriveSample(drive.fsuuid, drive.record.device, found.rotational, found.stats, figures.room, health)

    async def _counters(self, drives: list[Drive]) -> Mapping[str, Counted]:
        """Read what the kernel counts for each drive; a disk that hangs does not keep it from telling."""
        devices = {drive.fsuuid: drive.record.device for drive in drives}
        with contextlib.suppress(DirectPVError, OSError):
            return await self._drives.executors.run(
                "counters", lambda: _read_counters(devices), SAMPLE_SECONDS, "reading I/O counters"
            )
        return {}

    async def _measure_all(self, drives: list[Drive]) -> dict[str, Figures]:
        """Measure the published volumes of all drives, and return what is known within :data:`PATIENCE_SECONDS`."""
        for drive in drives:
            if drive.fsuuid not in self._measuring and not drive.trouble():
                task = asyncio.create_task(self._measure(drive), name=f"measure {drive.fsuuid}", context=detached())
                self._measuring[drive.fsuuid] = task
        running = dict(self._measuring)
        if running:
            await asyncio.wait(running.values(), timeout=PATIENCE_SECONDS)
        ended = {fsuuid: task for fsuuid, task in running.items() if task.done()}
        for fsuuid in ended:
            del self._measuring[fsuuid]
        return {fsuuid: task.result() for fsuuid, task in ended.items() if not task.cancelled()}

    async def _measure(self, drive: Drive) -> Figures:
        view = drive.view
        sizes = {name: record.capacity for name, record in drive.volumes.items() if drive.use(name).published}
        with contextlib.suppress(DirectPVError, OSError):
            return await self._drives.executors.run(
                f"sampling {drive.fsuuid}", lambda: _measure(view, sizes), SAMPLE_SECONDS, "sampling it"
            )
        return NO_FIGURES

    def _judge(self, stats: Mapping[str, IoStats | None]) -> None:
        """Warn of drives that answer slowly."""
        now = monotonic()
        self._paces = {fsuuid: judged(self._paces.get(fsuuid, Pace()), found, now) for fsuuid, found in stats.items()}
        for fsuuid, pace in self._paces.items():
            if drive := self._drives.by_id.get(fsuuid):
                self._drives.warn(drive, ConditionType.SLOW, pace.slow)

    def _message(self) -> NodeMetrics:
        sample = self.latest
        return NodeMetrics(
            node=self._drives.host.node,
            time=sample.time,
            drives=tuple(_drive_message(drive) for drive in sample.drives),
            volumes=tuple(
                VolumeMetrics(name=v.record.name, fsuuid=v.record.fsuuid, total=v.record.capacity, used=v.measured.used)
                for v in sample.volumes
                if v.measured is not None
            ),
        )


def parts_of(sample: NodeMetrics, room: int) -> list[NodeMetrics]:
    """Split a sample so that the figures in each part take ``room`` bytes at most; an empty one is one part."""
    portions: list[tuple[list[DriveMetrics], list[VolumeMetrics]]] = [([], [])]
    left = room
    figures: list[DriveMetrics | VolumeMetrics] = [*sample.drives, *sample.volumes]
    for each in figures:
        size = len(encode(each)) + len(",")
        if size > left and left < room:
            portions.append(([], []))
            left = room
        drives, volumes = portions[-1]
        drives.append(each) if isinstance(each, DriveMetrics) else volumes.append(each)
        left -= size
    return [
        replace(sample, part=number, parts=len(portions), drives=tuple(drives), volumes=tuple(volumes))
        for number, (drives, volumes) in enumerate(portions, 1)
    ]


def _read_counters(devices: Mapping[str, str]) -> dict[str, Counted]:
    """Read the counters of devices, by drive; blocking, but only on sysfs."""
    roots = Roots()
    return {
        fsuuid: Counted(read_io_stats(roots, device), is_rotational(roots, device)) if device else NOT_COUNTED
        for fsuuid, device in devices.items()
    }


def _measure(view: DriveView, sizes: Mapping[str, int]) -> Figures:
    """Measure the use of a drive and its volumes; blocking."""
    room, measured = usage.measure_all(view, sizes, COUNT_SECONDS)
    return Figures(room, measured)


def _volume_samples(drive: Drive, measured: Mapping[str, Measured]) -> tuple[VolumeSample, ...]:
    return tuple(
        VolumeSample(
            record=record,
            published=bool(drive.use(name).published),
            measured=measured.get(name),
        )
        for name, record in drive.volumes.items()
    )


def _drive_message(drive: DriveSample) -> DriveMetrics:
    stats, health = drive.stats, drive.health or NO_HEALTH
    if stats is None:
        return DriveMetrics(fsuuid=drive.fsuuid, ready=False)
    return DriveMetrics(
        fsuuid=drive.fsuuid,
        ready=True,
        read_bytes=stats.read_bytes,
        write_bytes=stats.write_bytes,
        read_seconds=stats.read_seconds,
        write_seconds=stats.write_seconds,
        wait_seconds=stats.wait_seconds,
        reads=stats.reads,
        writes=stats.writes,
        temperature_celsius=health.temperature,
        media_errors=health.media_errors,
        wear_percent=health.wear,
        spare_percent=health.spare,
        power_on_hours=health.power_on_hours,
        failure_predicted=health.predicted,
    )
