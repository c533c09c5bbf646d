"""Samples drives and volumes in threads, now and then; what is asked for metrics gets the last sample at once."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from directpv_common.bus import Bus
from directpv_common.clock import now_rfc3339
from directpv_common.errors import DirectPVError
from directpv_common.messages import DriveMetrics, NodeMetrics, VolumeMetrics
from directpv_common.names import TENANT
from directpv_nodeagent.adapters import usage
from directpv_nodeagent.adapters.drives import Drives
from directpv_nodeagent.adapters.probe_sysfs import Roots, read_io_stats
from directpv_nodeagent.adapters.usage import Measured
from directpv_nodeagent.core.held import Drive, DriveView
from directpv_nodeagent.core.io_stats import IoStats

log = logging.getLogger(__name__)

SAMPLE_SECONDS: Final = 10.0
COUNT_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class DriveSample:
    """One drive; ``stats`` is None while its device is missing."""

    fsuuid: str
    device: str
    status: str
    stats: IoStats | None
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class VolumeSample:
    """One volume; ``measured`` is None if it is not published, or could not be measured."""

    name: str
    fsuuid: str
    tenant: str
    capacity: int
    published: bool
    abnormal: bool
    measured: Measured | None


@dataclass(frozen=True, slots=True)
class Sample:
    """All of one moment."""

    drives: tuple[DriveSample, ...] = ()
    volumes: tuple[VolumeSample, ...] = ()
    time: str = field(default_factory=now_rfc3339)


class Sampler:
    """Keeps the last sample of this node."""

    def __init__(self, drives: Drives) -> None:
        self._drives = drives
        self.latest = Sample()

    async def run(self, interval: float) -> None:
        """Sample every ``interval`` seconds, until cancelled."""
        while True:
            await self.sample()
            await asyncio.sleep(interval)

    async def publish(self, bus: Bus, interval: float) -> None:
        """Publish the last sample every ``interval`` seconds, until cancelled."""
        while True:
            await bus.publish(bus.subjects.metrics(self._drives.host.node), self._message())
            await asyncio.sleep(interval)

    async def sample(self) -> None:
        """Sample all drives at the same time; one that does not answer has no figures."""
        drives = list(self._drives.by_id.values())
        outcome = await asyncio.gather(*(self._sample(drive) for drive in drives))
        volumes = tuple(volume for _, volumes in outcome for volume in volumes)
        self.latest = Sample(tuple(drive for drive, _ in outcome), volumes)

    async def _sample(self, drive: Drive) -> tuple[DriveSample, tuple[VolumeSample, ...]]:
        view, sizes = drive.view, {name: record.capacity for name, record in drive.volumes.items()}
        published = [name for name in sizes if drive.use(name).published and not drive.trouble()]
        device = drive.record.device
        stats: IoStats | None = None
        measured: Mapping[str, Measured] = {}
        with contextlib.suppress(DirectPVError, OSError):
            stats, measured = await self._drives.executors.run(
                f"sampling {drive.fsuuid}",
                lambda: _measure(view, device, {name: sizes[name] for name in published}),
                SAMPLE_SECONDS,
                "sampling it",
            )
        return _drive_sample(drive, stats), _volume_samples(drive, measured)

    def _message(self) -> NodeMetrics:
        sample = self.latest
        return NodeMetrics(
            node=self._drives.host.node,
            time=sample.time,
            drives=tuple(_drive_message(drive) for drive in sample.drives),
            volumes=tuple(
                VolumeMetrics(name=v.name, fsuuid=v.fsuuid, total=v.capacity, used=v.measured.used)
                for v in sample.volumes
                if v.measured is not None
            ),
        )


def _measure(view: DriveView, device: str, sizes: Mapping[str, int]) -> tuple[IoStats | None, dict[str, Measured]]:
    """Read a drive's counters and the use of its published volumes; blocking."""
    stats = read_io_stats(Roots(), device) if device else None
    measured: dict[str, Measured] = {}
    for name, capacity in sizes.items():
        with contextlib.suppress(DirectPVError, OSError):
            measured[name] = usage.measure(view, name, capacity, COUNT_SECONDS)
    return stats, measured


def _drive_sample(drive: Drive, stats: IoStats | None) -> DriveSample:
    record = drive.record
    return DriveSample(drive.fsuuid, record.device, str(record.status), stats, record.total, drive.free)


def _volume_samples(drive: Drive, measured: Mapping[str, Measured]) -> tuple[VolumeSample, ...]:
    return tuple(
        VolumeSample(
            name=name,
            fsuuid=drive.fsuuid,
            tenant=record.labels.get(TENANT, ""),
            capacity=record.capacity,
            published=bool(drive.use(name).published),
            abnormal=bool(drive.trouble()),
            measured=measured.get(name),
        )
        for name, record in drive.volumes.items()
    )


def _drive_message(drive: DriveSample) -> DriveMetrics:
    stats = drive.stats
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
    )
