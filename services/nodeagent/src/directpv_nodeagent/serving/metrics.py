"""Prometheus metrics: upstream's names with upstream's meaning, and ours beside them.

Upstream's counters do not end in ``_total``, as the client library insists: they are exposed without a type.
Latencies: divide rates, for instance ``rate(directpv_drive_read_seconds_total[5m]) /
rate(directpv_drive_reads_completed_total[5m])``.
"""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from directpv_common.protocol.messages import DriveStatus
from directpv_nodeagent.serving.sampler import NO_HEALTH, DriveSample, Sample, VolumeSample

_STATS = "directpv_stats"


class NodeCollector(Collector):
    """Exposes the last sample, and the agent's own counters."""

    def __init__(self, node: str, sample: Callable[[], Sample], counters: Callable[[], dict[str, int]]) -> None:
        """Take where figures come from; both are called in a thread of the HTTP server, and only read.

        Args:
            node: This node's name.
            sample: Returns the last sample.
            counters: Returns ``rescans``, ``udev_overflows``, ``events_dropped`` and ``hung_threads``.
        """
        self._node = node
        self._sample = sample
        self._counters = counters

    def collect(self) -> Iterable[Metric]:
        """Return all families."""
        sample = self._sample()
        yield from self._volumes(sample.volumes)
        yield from _drives(sample.drives)
        yield from _healths(sample.drives)
        yield from self._own()

    def _volumes(self, volumes: tuple[VolumeSample, ...]) -> Iterator[Metric]:
        labels = ("tenant", "volumeID", "node")
        used = GaugeMetricFamily(f"{_STATS}_bytes_used", "Bytes that the volume uses", labels=labels)
        total = GaugeMetricFamily(f"{_STATS}_bytes_total", "Capacity of the volume in bytes", labels=labels)
        inodes = GaugeMetricFamily("directpv_volume_inodes_used", "Files and directories of the volume", labels=labels)
        abnormal = GaugeMetricFamily(
            "directpv_volume_abnormal", "1 while the volume's drive is not well", labels=labels
        )
        for volume in volumes:
            values = (volume.tenant, volume.name, self._node)
            abnormal.add_metric(values, float(volume.abnormal))
            if volume.published:
                total.add_metric(values, volume.capacity)
            if volume.measured is not None:
                used.add_metric(values, volume.measured.used)
                inodes.add_metric(values, volume.measured.inodes_used)
        yield from (used, total, inodes, abnormal)

    def _own(self) -> Iterator[Metric]:
        counters = self._counters()
        yield CounterMetricFamily("directpv_node_rescans", "Scans of all devices", value=counters["rescans"])
        yield CounterMetricFamily(
            "directpv_node_udev_overflows", "Times that device events were lost", value=counters["udev_overflows"]
        )
        yield CounterMetricFamily(
            "directpv_node_events_dropped", "Events that were never published", value=counters["events_dropped"]
        )
        yield GaugeMetricFamily(
            "directpv_node_hung_threads", "Threads that hang in the kernel", value=counters["hung_threads"]
        )


def _drives(drives: tuple[DriveSample, ...]) -> Iterator[Metric]:
    ready = GaugeMetricFamily(f"{_STATS}_drive_ready", "1 if the drive's device is there", labels=("drive",))
    state = GaugeMetricFamily("directpv_drive_status", "1 for the status that it has", labels=("drive", "status"))
    total = GaugeMetricFamily("directpv_drive_capacity_bytes", "Size of the drive's file system", labels=("drive",))
    free = GaugeMetricFamily("directpv_drive_free_bytes", "Bytes that volumes can still get", labels=("drive",))
    for drive in drives:
        ready.add_metric((drive.fsuuid,), float(drive.stats is not None))
        total.add_metric((drive.fsuuid,), drive.total)
        free.add_metric((drive.fsuuid,), drive.free)
        for status in DriveStatus:
            state.add_metric((drive.fsuuid, str(status)), float(drive.status == status))
    yield from (ready, state, total, free)
    known = [(drive.fsuuid, drive.stats) for drive in drives if drive.stats is not None]
    yield from (
        _untyped("drive_total_read_bytes", "Bytes read", {id: s.read_bytes for id, s in known}),
        _untyped("drive_total_write_bytes", "Bytes written", {id: s.write_bytes for id, s in known}),
        _gauge("drive_read_latency_seconds", "Time of all reads together", {id: s.read_seconds for id, s in known}),
        _gauge("drive_write_latency_seconds", "Time of all writes together", {id: s.write_seconds for id, s in known}),
        _gauge("drive_wait_time_seconds", "Time of all requests together", {id: s.wait_seconds for id, s in known}),
        _counter("read_bytes", "Bytes read", {id: s.read_bytes for id, s in known}),
        _counter("written_bytes", "Bytes written", {id: s.write_bytes for id, s in known}),
        _counter("reads_completed", "Reads", {id: s.reads for id, s in known}),
        _counter("writes_completed", "Writes", {id: s.writes for id, s in known}),
        _counter("read_seconds", "Time of all reads together", {id: s.read_seconds for id, s in known}),
        _counter("write_seconds", "Time of all writes together", {id: s.write_seconds for id, s in known}),
        _counter("busy_seconds", "Time with a request in flight", {id: s.busy_ms / 1000 for id, s in known}),
    )


def _healths(drives: tuple[DriveSample, ...]) -> Iterator[Metric]:
    """A drive that does not tell a figure has none."""
    known = [(drive.fsuuid, drive.health or NO_HEALTH) for drive in drives]
    yield from (
        _own("temperature_celsius", "Temperature of the disk", {id: h.temperature for id, h in known}),
        _own("media_errors", "Reads that the disk could not correct", {id: h.media_errors for id, h in known}),
        _own("wear_percent", "Rated endurance that is used, may exceed 100", {id: h.wear for id, h in known}),
        _own("spare_percent", "Spare blocks that are left", {id: h.spare for id, h in known}),
        _own("power_on_hours", "Hours that the disk was on", {id: h.power_on_hours for id, h in known}),
        _own("failure_predicted", "1 while the disk expects to fail", {id: h.predicted for id, h in known}),
    )


def _own(name: str, text: str, values: dict[str, int | None]) -> Metric:
    family = GaugeMetricFamily(f"directpv_drive_{name}", text, labels=("drive",))
    for drive, value in values.items():
        if value is not None:
            family.add_metric((drive,), value)
    return family


def _untyped(name: str, text: str, values: dict[str, float]) -> Metric:
    family = Metric(f"{_STATS}_{name}", text, "unknown")
    for drive, value in values.items():
        family.add_sample(f"{_STATS}_{name}", {"drive": drive}, value)
    return family


def _gauge(name: str, text: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(f"{_STATS}_{name}", text, labels=("drive",))
    for drive, value in values.items():
        family.add_metric((drive,), value)
    return family


def _counter(name: str, text: str, values: dict[str, float]) -> Metric:
    family = CounterMetricFamily(f"directpv_drive_{name}", text, labels=("drive",))
    for drive, value in values.items():
        family.add_metric((drive,), value)
    return family


def registry_with(collector: NodeCollector) -> CollectorRegistry:
    """Return a registry that exposes ``collector`` alone."""
    registry = CollectorRegistry()
    registry.register(collector)
    return registry
