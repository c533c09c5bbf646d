"""What an agent's metrics say makes a real Prometheus fire the alert of it, and of it alone, until they say otherwise.

The exposition is the agent's own; drives and disks behind it are the test's, for what they are to say cannot be had of
disks here. Alerts of what the whole installation does are in ``tests/stack/test_alerts.py``.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from msgspec.structs import replace as changed
from prometheus_client import start_http_server

from directpv_cli.release.monitoring.alerts import OF_DRIVES
from directpv_common.protocol.messages import Condition, ConditionType, DriveRecord, VolumeRecord
from directpv_common.protocol.reasons import BY_CONDITION
from directpv_nodeagent.devices.core.io_stats import IoStats
from directpv_nodeagent.devices.core.smart import Health
from directpv_nodeagent.layout.usage import Measured, Room
from directpv_nodeagent.serving.drive_metrics import DriveNow
from directpv_nodeagent.serving.metrics import NodeCollector, registry_with
from directpv_nodeagent.serving.sampler import DriveSample, Sample, VolumeSample
from support.cluster import eventually
from support.ports import free_port
from support.watching import Prometheus, prometheus

pytestmark = pytest.mark.timeout(240)
GIB = 1024**3
FSUUID = "00000000-0000-4000-8000-000000000001"
WELL = Health(
    serial="S1", temperature=40, media_errors=0, wear=3, spare=100, power_on_hours=10, predicted=False, reasons=()
)
STATS = IoStats(1, 2, 3, 4, 5, 6, in_flight=7, busy_ms=8, waited_ms=9)
OFTEN = {"rescans": 1, "udev_overflows": 0, "events_dropped": 0, "hung_threads": 0, "scan_failed": 0}


@dataclass(frozen=True)
class Facts:
    """What the node is like."""

    conditions: tuple[ConditionType, ...] = ()
    disk: Health = WELL
    used: int = GIB // 2
    """Of a volume of 1 GiB."""
    inodes_free: int = 1000
    hung: int = 0
    scan_failed: int = 0
    left_behind: tuple[str, ...] = ()


CAUSES: dict[str, Facts] = {
    **{f"DirectPV{reason}": Facts(conditions=(kind,)) for kind, reason in BY_CONDITION.items()},
    "DirectPVDriveHot": Facts(disk=replace(WELL, temperature=80)),
    "DirectPVDriveWornOut": Facts(disk=replace(WELL, wear=95)),
    "DirectPVVolumeNearlyFull": Facts(used=GIB - 1),
    "DirectPVVolumeFewInodes": Facts(inodes_free=1),
    "DirectPVThreadsHang": Facts(hung=3),
    "DirectPVScanFailed": Facts(scan_failed=1),
    "DirectPVVolumeLeftBehind": Facts(left_behind=("pvc-1",)),
}
"""Alerts, and what makes each fire."""


class Node:
    """What an agent would know, served as an agent serves it."""

    def __init__(self, port: int) -> None:
        self.facts = Facts()
        collector = NodeCollector("n1", self._now, self._sample, self._counters)
        self._server, self._thread = start_http_server(port, "127.0.0.1", registry_with(collector, lambda: True))

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    def _counters(self) -> dict[str, int]:
        return {**OFTEN, "hung_threads": self.facts.hung, "scan_failed": self.facts.scan_failed}

    def _now(self) -> list[DriveNow]:
        conditions = tuple(Condition(type=kind, message="x", since="t") for kind in self.facts.conditions)
        record = DriveRecord(fsuuid=FSUUID, node="n1", total=9 * GIB, overhead=1, device="sda", conditions=conditions)
        return [DriveNow(record, 8 * GIB, 1, self.facts.left_behind)]

    def _sample(self) -> Sample:
        room = Room(1, 2, 3, 4)
        drive = DriveSample(FSUUID, "sda", True, STATS, room, self.facts.disk)
        record = changed(VolumeRecord(name="pvc-1", fsuuid=FSUUID, capacity=GIB), pod_name="pod")
        facts = self.facts
        measured = Measured(GIB, facts.used, GIB - facts.used, inodes_used=1000, inodes_free=facts.inodes_free)
        return Sample((drive,), (VolumeSample(record, True, measured),))


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[Node, Prometheus]]:
    port = free_port()
    node = Node(port)
    try:
        with prometheus(tmp_path, [port]) as watching:
            yield node, watching
    finally:
        node.close()


def of_nodes(watching: Prometheus) -> set[str]:
    """Return the alerts that fire, but for those of controllers, of which there is none."""
    return watching.firing() - {"DirectPVNoLeader"}


async def fires(watching: Prometheus, names: set[str]) -> None:
    async def look() -> None:
        assert await asyncio.to_thread(of_nodes, watching) == names

    await eventually(look, f"these alerts fire, and no others: {names or 'none'}")


async def test_each_alert_of_a_node_fires_alone_while_its_metrics_say_why_and_resolves(
    watched: tuple[Node, Prometheus],
) -> None:
    node, watching = watched
    assert {alert.name for alert in OF_DRIVES} <= CAUSES.keys()
    for name, facts in CAUSES.items():
        await fires(watching, set())
        node.facts = facts
        await fires(watching, {name})
        node.facts = Facts()
    await fires(watching, set())
