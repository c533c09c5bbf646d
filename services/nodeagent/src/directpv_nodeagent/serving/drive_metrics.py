"""Metrics of drives: upstream's names with upstream's meaning, and ours beside them.

Upstream's counters do not end in ``_total``, as the client library insists: they are exposed without a type. Latencies
per operation: divide rates, for instance ``rate(directpv_drive_read_seconds_total[5m]) /
rate(directpv_drive_reads_completed_total[5m])``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from directpv_common.protocol.messages import DriveRecord, DriveStatus
from directpv_common.protocol.names import is_suspended
from directpv_common.protocol.reasons import BY_CONDITION, reason_for
from directpv_nodeagent.serving.sampler import NO_HEALTH, DriveSample

UPSTREAM: Final = "directpv_stats"
_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class DriveNow:
    """A drive at the moment of the question: what the plugin shows of it is the same."""

    record: DriveRecord
    free: int
    volumes: int
    left_behind: tuple[str, ...] = ()
    """Volumes that containers keep as they were when the drive failed or was away."""


def of_drives(now: Sequence[DriveNow], samples: Mapping[str, DriveSample]) -> Iterator[Metric]:
    """Return all families of drives; ``samples`` are by id, and may lack a drive."""
    yield _info(now, samples)
    yield from _states(now)
    yield from _promises(now)
    yield from _counted(samples)
    yield from _told(samples)


def _info(now: Sequence[DriveNow], samples: Mapping[str, DriveSample]) -> Metric:
    labels = ("drive", "node", "device", "make", "serial", "rotational", "tier")
    info = GaugeMetricFamily("directpv_drive_info", "1, with what a drive is, to join with", labels=labels)
    for each in now:
        record, sample = each.record, samples.get(each.record.fsuuid)
        serial = sample.health.serial if sample is not None and sample.health is not None else ""
        rotational = {None: "", True: "true", False: "false"}[sample.rotational if sample is not None else None]
        tier = str(record.access_tier)
        info.add_metric((record.fsuuid, record.node, record.device, record.make, serial, rotational, tier), 1)
    return info


def _states(now: Sequence[DriveNow]) -> Iterator[Metric]:
    """One series per state and per reason that there is: those that do not hold are 0, so that alerts resolve."""
    status = GaugeMetricFamily("directpv_drive_status", "1 for the state that it has", labels=("drive", "status"))
    condition = GaugeMetricFamily(
        "directpv_drive_condition", "1 for each reason why it is not well", labels=("drive", "reason")
    )
    for each in now:
        record = each.record
        for state in dict.fromkeys((*DriveStatus, record.status)):
            status.add_metric((record.fsuuid, str(state)), float(record.status == state))
        told = {reason_for(found.type) for found in record.conditions}
        for reason in dict.fromkeys((*(known.value for known in BY_CONDITION.values()), *sorted(told))):
            condition.add_metric((record.fsuuid, reason), float(reason in told))
    yield from (status, condition)
    yield _gauge("cordoned", "1 while it takes no new volumes because people said so", {
        each.record.fsuuid: float(each.record.unschedulable) for each in now
    })  # fmt: skip
    yield _gauge("suspended", "1 while its volumes show nothing because people said so", {
        each.record.fsuuid: float(is_suspended(each.record.labels)) for each in now
    })  # fmt: skip


def _promises(now: Sequence[DriveNow]) -> Iterator[Metric]:
    ids = [(each.record.fsuuid, each) for each in now]
    yield _gauge("capacity_bytes", "Size of the drive's file system", {id: each.record.total for id, each in ids})
    yield _gauge("free_bytes", "Bytes that volumes can still get", {id: each.free for id, each in ids})
    yield _gauge("allocated_bytes", "Bytes that volumes were promised, and overhead", {
        id: each.record.total - each.free for id, each in ids
    })  # fmt: skip
    yield _gauge("volumes", "Volumes on the drive", {id: each.volumes for id, each in ids})


def _counted(samples: Mapping[str, DriveSample]) -> Iterator[Metric]:
    ready = {id: float(sample.stats is not None) for id, sample in samples.items()}
    yield _family(f"{UPSTREAM}_drive_ready", "1 if the drive's device is there", ready)
    known = [(id, sample.stats) for id, sample in samples.items() if sample.stats is not None]
    yield from (
        _untyped("drive_total_read_bytes", "Bytes read", {id: s.read_bytes for id, s in known}),
        _untyped("drive_total_write_bytes", "Bytes written", {id: s.write_bytes for id, s in known}),
        _former("drive_read_latency_seconds", "Time of all reads together", {id: s.read_seconds for id, s in known}),
        _former("drive_write_latency_seconds", "Time of all writes together", {id: s.write_seconds for id, s in known}),
        _former("drive_wait_time_seconds", "Time of all requests together", {id: s.wait_seconds for id, s in known}),
        _counter("read_bytes", "Bytes read", {id: s.read_bytes for id, s in known}),
        _counter("written_bytes", "Bytes written", {id: s.write_bytes for id, s in known}),
        _counter("reads_completed", "Reads", {id: s.reads for id, s in known}),
        _counter("writes_completed", "Writes", {id: s.writes for id, s in known}),
        _counter("discards_completed", "Discards", {id: s.discards for id, s in known}),
        _counter("flushes_completed", "Flushes", {id: s.flushes for id, s in known}),
        _counter("read_seconds", "Time of all reads together", {id: s.read_seconds for id, s in known}),
        _counter("write_seconds", "Time of all writes together", {id: s.write_seconds for id, s in known}),
        _counter("discard_seconds", "Time of all discards together", {id: s.discard_ms / 1000 for id, s in known}),
        _counter("flush_seconds", "Time of all flushes together", {id: s.flush_ms / 1000 for id, s in known}),
        _counter("wait_seconds", "Time of all requests together, queued or served: its rate is the mean queue", {
            id: s.wait_seconds for id, s in known
        }),
        _counter("busy_seconds", "Time with a request in flight", {id: s.busy_ms / 1000 for id, s in known}),
        _gauge("requests_in_flight", "Requests that have begun and not ended", {id: s.in_flight for id, s in known}),
    )  # fmt: skip


def _told(samples: Mapping[str, DriveSample]) -> Iterator[Metric]:
    """What the file system and the disk say; a drive that does not tell a figure has none."""
    rooms = [(id, sample.room) for id, sample in samples.items() if sample.room is not None]
    yield from (
        _gauge("used_bytes", "Bytes in use on the file system, whoever uses them", {id: r.used for id, r in rooms}),
        _gauge("available_bytes", "Bytes that can still be written", {id: r.available for id, r in rooms}),
        _gauge("inodes", "Files and directories that there can be", {id: r.inodes for id, r in rooms}),
        _gauge("inodes_free", "Files and directories that can still be made", {id: r.inodes_free for id, r in rooms}),
    )
    disks = [(id, sample.health or NO_HEALTH) for id, sample in samples.items()]
    yield from (
        _gauge("temperature_celsius", "Temperature of the disk", {id: h.temperature for id, h in disks}),
        _counter("media_errors", "Reads that the disk could not correct", {id: h.media_errors for id, h in disks}),
        _gauge("wear_ratio", "Rated endurance that is used, may exceed 1", {id: _ratio(h.wear) for id, h in disks}),
        _gauge("spare_ratio", "Spare blocks that are left", {id: _ratio(h.spare) for id, h in disks}),
        _counter("power_on_seconds", "Time that the disk was on", {
            id: None if h.power_on_hours is None else h.power_on_hours * _HOUR for id, h in disks
        }),
        _gauge("failure_predicted", "1 while the disk expects to fail", {id: h.predicted for id, h in disks}),
    )  # fmt: skip


def _ratio(percent: int | None) -> float | None:
    return None if percent is None else percent / 100


Values = Mapping[str, float | None]


def _family(name: str, text: str, values: Values) -> Metric:
    family = GaugeMetricFamily(name, text, labels=("drive",))
    for drive, value in values.items():
        if value is not None:
            family.add_metric((drive,), value)
    return family


def _gauge(name: str, text: str, values: Values) -> Metric:
    return _family(f"directpv_drive_{name}", text, values)


def _former(name: str, text: str, values: Values) -> Metric:
    return _family(f"{UPSTREAM}_{name}", text, values)


def _untyped(name: str, text: str, values: Mapping[str, float]) -> Metric:
    family = Metric(f"{UPSTREAM}_{name}", text, "unknown")
    for drive, value in values.items():
        family.add_sample(f"{UPSTREAM}_{name}", {"drive": drive}, value)
    return family


def _counter(name: str, text: str, values: Values) -> Metric:
    family = CounterMetricFamily(f"directpv_drive_{name}", text, labels=("drive",))
    for drive, value in values.items():
        if value is not None:
            family.add_metric((drive,), value)
    return family
