"""How many series a node has, and what of them does not depend on a sample."""

import re
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from directpv_common.protocol.messages import Condition, ConditionType, DriveRecord, DriveStatus, VolumeRecord
from directpv_nodeagent.devices.core.io_stats import IoStats
from directpv_nodeagent.devices.core.smart import Health
from directpv_nodeagent.layout.usage import Measured, Room
from directpv_nodeagent.serving.drive_metrics import DriveNow
from directpv_nodeagent.serving.metrics import NodeCollector, registry_with
from directpv_nodeagent.serving.sampler import DriveSample, Sample, VolumeSample
from support.prometheus import parsed, values

DOCUMENT = Path(__file__).parents[4] / "docs/monitoring.md"
COUNTERS = {"rescans": 1, "udev_overflows": 0, "events_dropped": 0, "hung_threads": 0, "scan_failed": 0}
STATS = IoStats(1, 2, 3, 4, 5, 6, in_flight=7, busy_ms=8, waited_ms=9)
DISK = Health(
    serial="S1", temperature=40, media_errors=0, wear=3, spare=100, power_on_hours=10, predicted=False, reasons=()
)


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def text(drives: int, volumes: int, status: DriveStatus = DriveStatus.READY, *kinds: ConditionType) -> str:
    """Return the metrics of a node with so many drives, and so many volumes on each."""
    return generate_latest(registry(drives, volumes, status, *kinds)).decode()


def registry(
    drives: int, volumes: int, status: DriveStatus = DriveStatus.READY, *kinds: ConditionType
) -> CollectorRegistry:
    """Return what such a node exposes."""
    conditions = tuple(Condition(type=kind, message="x", since="t") for kind in kinds)
    now = [
        DriveNow(
            DriveRecord(fsuuid=uuid(n), node="n1", total=100, overhead=1, status=status, conditions=conditions), 10, 1
        )
        for n in range(drives)
    ]
    sample = Sample(
        tuple(DriveSample(uuid(n), f"sd{n}", True, STATS, Room(1, 2, 3, 4), DISK) for n in range(drives)),
        tuple(
            VolumeSample(VolumeRecord(name=f"pvc-{n}-{v}", fsuuid=uuid(n), capacity=1), True, Measured(1, 1, 0, 1, 1))
            for n in range(drives)
            for v in range(volumes)
        ),
    )
    return registry_with(NodeCollector("n1", lambda: now, lambda: sample, lambda: COUNTERS), lambda: True)


def test_the_number_of_series_is_what_the_documentation_says() -> None:
    own = len(parsed(text(0, 0)))
    per_drive = len(parsed(text(1, 0))) - own
    per_volume = len(parsed(text(1, 1))) - own - per_drive
    whole = len(parsed(text(24, 50)))

    assert whole == own + 24 * per_drive + 24 * 50 * per_volume
    told = re.findall(r"\*\*(\d+)\*\* (?:per drive|per volume)", DOCUMENT.read_text())
    assert told == [str(per_drive), str(per_volume)]


def test_each_state_and_reason_has_a_series_whether_or_not_it_holds() -> None:
    found = parsed(text(1, 0, DriveStatus.ERROR, ConditionType.IO_ERROR))

    status = values(found, "directpv_drive_status", "status")
    assert [key for key, value in status.items() if value] == [("Error",)]
    assert len(status) == len(DriveStatus)
    reasons = values(found, "directpv_drive_condition", "reason")
    assert [key for key, value in reasons.items() if value] == [("DriveHasIOError",)]
    assert len(reasons) == len(ConditionType)


def test_words_of_a_later_version_are_series_too() -> None:
    found = parsed(text(1, 0, DriveStatus("Melting"), ConditionType("Hot")))

    assert values(found, "directpv_drive_status", "status")["Melting",] == 1
    assert values(found, "directpv_drive_condition", "reason")["DriveHasHot",] == 1


def test_volumes_of_an_unwell_drive_are_abnormal() -> None:
    def abnormal(status: DriveStatus) -> set[float]:
        return set(values(parsed(text(1, 2, status)), "directpv_volume_abnormal", "volume").values())

    assert (abnormal(DriveStatus.READY), abnormal(DriveStatus.LOST)) == ({0}, {1})


def test_a_volume_that_a_container_keeps_as_it_failed_is_abnormal_and_says_why() -> None:
    record = DriveRecord(fsuuid=uuid(0), node="n1", total=100, overhead=1)
    volumes = tuple(
        VolumeSample(VolumeRecord(name=name, fsuuid=uuid(0), capacity=1), True, None) for name in ("a", "b")
    )
    now = [DriveNow(record, 10, 2, left_behind=("a",))]
    collector = NodeCollector("n1", lambda: now, lambda: Sample((), volumes), lambda: COUNTERS)

    found = parsed(generate_latest(registry_with(collector, lambda: True)).decode())

    assert values(found, "directpv_volume_abnormal", "volume") == {("a",): 1, ("b",): 0}
    assert values(found, "directpv_volume_condition", "volume", "reason") == {("a", "VolumeLeftBehind"): 1}


def test_a_disk_that_tells_nothing_has_no_figures_rather_than_wrong_ones() -> None:
    record = DriveRecord(fsuuid=uuid(1), node="n1", total=100, overhead=1)
    now = [DriveNow(record, 10, 0)]
    silent = Sample((DriveSample(uuid(1), "", None, None, None, None),))
    exposed = registry_with(NodeCollector("n1", lambda: now, lambda: silent, lambda: COUNTERS), lambda: False)

    found = parsed(generate_latest(exposed).decode())

    names = {name for name, labels in found if dict(labels).get("drive") == uuid(1)}
    assert not {n for n in names if re.search("temperature|wear|used_bytes|reads|media", n)}
    assert values(found, "directpv_stats_drive_ready")[()] == 0
    assert values(found, "directpv_bus_connected")[()] == 0
