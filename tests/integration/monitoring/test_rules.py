"""Each alert fires while what it tells of lasts, and is over when that is: decided by Prometheus' own tool."""

import functools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from directpv_cli.release.monitoring.alerts import ALERTS, OF_DRIVES
from support.prometheus import TOP, program

INFO = 'directpv_drive_info{drive="d1", instance="i1", node="n1", device="sdb", make="ACME", serial="S1"}'
LONG = 240
"""Minutes: longer than any alert waits."""
BAD, GOOD = LONG, 2 * LONG
"""The trouble begins at minute 0, and ends after LONG minutes."""

Inputs = dict[str, tuple[float, float]]
"""Series to its value while things are bad, and while they are good."""
DRIVE = '{drive="d1", instance="i1"}'
SITUATIONS: dict[str, Inputs] = {
    **{
        alert.name: {
            INFO: (1, 1),
            f'directpv_drive_condition{{drive="d1", instance="i1", reason="{alert.name.removeprefix("DirectPV")}"}}': (
                1,
                0,
            ),
        }
        for alert in OF_DRIVES
    },
    "DirectPVDrivesNotServed": {'directpv_controller_drives{status="Lost"}': (2, 0)},
    "DirectPVDriveWornOut": {INFO: (1, 1), f"directpv_drive_wear_ratio{DRIVE}": (0.95, 0.1)},
    "DirectPVDriveHot": {INFO: (1, 1), f"directpv_drive_temperature_celsius{DRIVE}": (80, 40)},
    "DirectPVVolumeNearlyFull": {
        'directpv_stats_bytes_used{volumeID="a"}': (95, 50),
        'directpv_stats_bytes_total{volumeID="a"}': (100, 100),
    },
    "DirectPVVolumeFewInodes": {
        'directpv_volume_inodes_free{volume="a"}': (1, 99),
        'directpv_volume_inodes_used{volume="a"}': (99, 1),
    },
    "DirectPVCapacityLow": {
        "directpv_controller_free_bytes": (5, 50),
        "directpv_controller_allocated_bytes": (95, 50),
    },
    "DirectPVMovesStuck": {"directpv_controller_moves_stuck": (1, 0)},
    "DirectPVVolumeLeftBehind": {'directpv_volume_condition{volume="a", reason="VolumeLeftBehind"}': (1, 0)},
    "DirectPVVolumesContested": {"directpv_controller_volumes_contested": (1, 0)},
    "DirectPVDrivesOvercommitted": {"directpv_controller_drives_overcommitted": (1, 0)},
    "DirectPVScanFailed": {'directpv_node_scan_failed{instance="i1"}': (1, 0)},
    "DirectPVNodeOffline": {'directpv_controller_nodes{state="offline"}': (1, 0)},
    "DirectPVNoLeader": {"directpv_controller_is_leader": (0, 1)},
    "DirectPVBusDisconnected": {'directpv_bus_connected{component="nodeagent", instance="i1"}': (0, 1)},
    "DirectPVEventsWait": {'directpv_bus_events_buffered{component="nodeagent", instance="i1"}': (5000, 0)},
    "DirectPVThreadsHang": {'directpv_node_hung_threads{instance="i1"}': (3, 0)},
    "DirectPVDrivesNotReconciled": {"directpv_controller_drives_not_reconciled": (1, 0)},
    "DirectPVUnreadableRecords": {"directpv_controller_unreadable_records": (1, 0)},
}
COUNTED: dict[str, str] = {
    "DirectPVDriveMediaErrors": f"directpv_drive_media_errors_total{DRIVE}",
    "DirectPVPlacementRefused": 'directpv_controller_placement_refusals_total{reason="TooSmall"}',
    "DirectPVCallsFail": 'directpv_csi_calls_total{method="CreateVolume", code="INTERNAL"}',
    "DirectPVBusUnsteady": 'directpv_bus_reconnects_total{component="nodeagent", instance="i1"}',
    "DirectPVBusRefuses": 'directpv_controller_bus_admissions_total{outcome="refused", role="node"}',
    "DirectPVBusCutOff": 'directpv_controller_bus_cuts_total{role="node"}',
    "DirectPVBusRepliesLate": 'directpv_bus_requests_late_total{component="controller", instance="i1", endpoint="e"}',
    "DirectPVBusMessagesDropped": (
        'directpv_bus_messages_dropped_total{component="controller", instance="i1", why="slow"}'
    ),
    "DirectPVEventsDropped": 'directpv_node_events_dropped_total{instance="i1"}',
}
"""Alerts of what is counted: the series that grows while things are bad."""
ABSENT = {"DirectPVNoAgents": 'directpv_build_info{component="nodeagent"}'}
"""Alerts of what is not there: the series that comes when things are good."""


def series(name: str) -> list[dict[str, str]]:
    """Return the input of an alert as promtool takes it: one sample a minute."""
    if name in COUNTED:
        return [
            {"series": INFO, "values": f"1x{GOOD}"},
            {"series": COUNTED[name], "values": f"0+60x{LONG} {60 * LONG}x{LONG}"},
        ]
    if name in ABSENT:
        return [{"series": ABSENT[name], "values": f"_x{LONG} 1x{LONG}"}]
    return [{"series": each, "values": f"{bad}x{LONG} {good}x{LONG}"} for each, (bad, good) in SITUATIONS[name].items()]


def firing(name: str, minute: int, count: int) -> dict[str, Any]:
    """Expect that so many alerts of that name fire; 0: none."""
    alerts = f'count(ALERTS{{alertname="{name}", alertstate="firing"}})'
    return {
        "expr": alerts,
        "eval_time": f"{minute}m",
        "exp_samples": [{"labels": "{}", "value": count}] if count else [],
    }


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_fires_while_its_cause_lasts_and_resolves_after_it(alert: Any, tmp_path: Path) -> None:
    expected = [firing(alert.name, BAD - 1, 1), firing(alert.name, GOOD - 1, 0)]

    assert faults(tmp_path, alert.name, series(alert.name), expected) == ""


def faults(
    directory: Path, name: str, series: list[dict[str, str]], expected: list[dict[str, Any]], every: str = "1m"
) -> str:
    """Return what promtool has against an alert when it sees these series; empty: all is as expected.

    The other alerts are left out: hours of all of them take promtool most of a second.
    """
    groups = [
        {**group, "rules": [rule for rule in group["rules"] if rule.get("alert", name) == name]}
        for group in rules()["groups"]
    ]
    case = {"interval": every, "input_series": series, "promql_expr_test": expected}
    (directory / "rules.yaml").write_text(json.dumps({"groups": [group for group in groups if group["rules"]]}))
    (directory / "test.yaml").write_text(
        json.dumps({"rule_files": ["rules.yaml"], "evaluation_interval": every, "tests": [case]})
    )
    return promtool(directory, "test", "rules", "test.yaml")


@functools.cache
def rules() -> dict[str, Any]:
    """Return our rules as promtool takes them."""
    return yaml.safe_load((TOP / "manifests/monitoring/rules.yaml").read_text())["spec"]  # type: ignore[no-any-return]


def promtool(directory: Path, *words: str) -> str:
    """Return what promtool says, if it fails."""
    argv = [program("promtool"), *words]
    done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def test_promtool_finds_no_fault_with_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(json.dumps(rules()))
    assert promtool(tmp_path, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml") == ""


OF_THE_LEADER = {
    "DirectPVDrivesNotServed",
    "DirectPVVolumesContested",
    "DirectPVDrivesOvercommitted",
    "DirectPVCapacityLow",
    "DirectPVMovesStuck",
    "DirectPVNodeOffline",
    "DirectPVDrivesNotReconciled",
    "DirectPVUnreadableRecords",
}


def of_pods(series: str, value: float) -> list[dict[str, str]]:
    """Return a leader's series for an hour, 30 seconds apart; then its pod has gone, and another one leads."""
    name, _, labels = series.partition("{")
    pods = [f'{name}{{{labels.rstrip("}")}{"," if labels else ""}instance="{pod}"}}' for pod in ("a", "b")]
    return [
        {"series": pods[0], "values": f"{value}x119 stale"},
        {"series": pods[1], "values": f"_x122 {value}x120"},
    ]


@pytest.mark.parametrize("name", sorted(OF_THE_LEADER))
def test_an_alert_of_the_leader_lasts_while_another_one_takes_over(name: str, tmp_path: Path) -> None:
    """An alert that ends and begins anew pages people twice, and waits once more for as long as it must last."""
    given = [each for series, (bad, _) in SITUATIONS[name].items() for each in of_pods(series, bad)]
    minutes = ("59m", "59m30s", "60m", "60m30s", "61m", "62m", "90m")
    expected = [{**firing(name, 0, 1), "eval_time": minute} for minute in minutes]

    assert faults(tmp_path, name, given, expected, "30s") == ""


def test_no_other_alert_looks_at_what_the_leader_alone_says() -> None:
    counted = {
        "is_leader",
        "placement_refusals_total",
        "bus_admissions_total",
        "bus_cuts_total",
        "events_dropped_total",
    }
    found = {alert.name for alert in ALERTS if {*re.findall(r"directpv_controller_(\w+)", alert.expr)} - counted}
    assert found == OF_THE_LEADER


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_says_cause_effect_and_advice_and_has_its_page(alert: Any) -> None:
    (rule,) = [rule for group in rules()["groups"] for rule in group["rules"] if rule.get("alert") == alert.name]
    page = (TOP / rule["annotations"]["runbook_url"]).read_text()

    for text in (alert.cause, alert.effect):
        assert text in rule["annotations"]["description"]
        assert text in page
    assert rule["annotations"]["advice"] == alert.advice
    assert alert.advice[1:] in page
    assert re.search(r"\w+", rule["annotations"]["summary"])
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["labels"]["app"] == "directpv"
