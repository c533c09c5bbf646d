"""Prometheus metrics of a node. States are those of the moment, as the plugin shows them; figures the last sample's.

How many series that makes stands in ``docs/monitoring.md``, which a test holds.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from directpv_common.process.own_metrics import register_own
from directpv_common.protocol.names import TENANT
from directpv_common.protocol.reasons import Reason, ailments_of
from directpv_nodeagent.serving.drive_metrics import UPSTREAM, DriveNow, of_drives
from directpv_nodeagent.serving.sampler import Sample, VolumeSample


class NodeCollector(Collector):
    """Exposes drives as they are, the last sample, and the agent's own counters."""

    def __init__(
        self,
        node: str,
        drives: Callable[[], Sequence[DriveNow]],
        sample: Callable[[], Sample],
        counters: Callable[[], dict[str, int]],
    ) -> None:
        """Take where figures come from; all are called in a thread of the HTTP server, and only read.

        Args:
            node: This node's name.
            drives: Returns the drives as they are now.
            sample: Returns the last sample.
            counters: Returns ``rescans``, ``udev_overflows``, ``events_dropped``, ``hung_threads`` and ``scan_failed``.
        """
        self._node = node
        self._drives = drives
        self._sample = sample
        self._counters = counters

    def collect(self) -> Iterable[Metric]:
        """Return all families."""
        sample, now = self._sample(), self._drives()
        unwell = {
            each.record.fsuuid for each in now if ailments_of(each.record.status, each.record.conditions, "a drive")
        }
        behind = {name for each in now for name in each.left_behind}
        yield from _volumes(self._node, sample.volumes, unwell, behind)
        known = {each.record.fsuuid for each in now}
        yield from of_drives(now, {each.fsuuid: each for each in sample.drives if each.fsuuid in known})
        yield from self._own()

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
        yield GaugeMetricFamily(
            "directpv_node_scan_failed", "1 while the devices cannot be looked at", value=counters["scan_failed"]
        )


def _volumes(node: str, volumes: tuple[VolumeSample, ...], unwell: set[str], behind: set[str]) -> Iterator[Metric]:
    """``unwell`` are drives, ``behind`` volumes that a container keeps as they failed: no series for all others."""
    former = ("tenant", "volumeID", "node")
    labels = ("tenant", "volume", "node")
    used = GaugeMetricFamily(f"{UPSTREAM}_bytes_used", "Bytes that the volume uses", labels=former)
    total = GaugeMetricFamily(f"{UPSTREAM}_bytes_total", "Capacity of the volume in bytes", labels=former)
    inodes = GaugeMetricFamily("directpv_volume_inodes_used", "Files and directories of the volume", labels=labels)
    free = GaugeMetricFamily("directpv_volume_inodes_free", "Files and directories that can be made", labels=labels)
    available = GaugeMetricFamily("directpv_volume_available_bytes", "Bytes that can be written", labels=labels)
    abnormal = GaugeMetricFamily(
        "directpv_volume_abnormal", "1 while the volume or its drive is not well", labels=labels
    )
    condition = GaugeMetricFamily(
        "directpv_volume_condition",
        "1 for each reason of its own why it is not well",
        labels=("volume", "node", "reason"),
    )
    info = GaugeMetricFamily(
        "directpv_volume_info",
        "1, with where a volume is and whose it is, to join with",
        labels=("volume", "node", "drive", "claim_namespace", "claim", "used_by"),
    )
    for volume in volumes:  # "pod" is what Prometheus calls the pod that it scrapes
        record = volume.record
        values = (record.labels.get(TENANT, ""), record.name, node)
        abnormal.add_metric(values, float(record.fsuuid in unwell or record.name in behind))
        if record.name in behind:
            condition.add_metric((record.name, node, Reason.VOLUME_LEFT_BEHIND.value), 1)
        whose = (record.pvc_namespace, record.pvc_name, record.pod_name if volume.published else "")
        info.add_metric((record.name, node, record.fsuuid, *whose), 1)
        if volume.published:
            total.add_metric(values, record.capacity)
        if volume.measured is not None:
            used.add_metric(values, volume.measured.used)
            available.add_metric(values, volume.measured.available)
            inodes.add_metric(values, volume.measured.inodes_used)
            free.add_metric(values, volume.measured.inodes_free)
    yield from (used, total, available, inodes, free, abnormal, condition, info)


def registry_with(collector: NodeCollector, connected: Callable[[], bool]) -> CollectorRegistry:
    """Return a registry that exposes ``collector`` and the process itself."""
    registry = CollectorRegistry()
    registry.register(collector)
    register_own(registry, "nodeagent", connected)
    return registry
