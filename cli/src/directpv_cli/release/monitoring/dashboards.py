"""Grafana's dashboards: the fleet, one node, one drive, one volume. Each panel shows data of a running stack."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

Object = dict[str, Any]

_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
_PER_ROW: Final = 2
_WIDTH, _HEIGHT = 24, 8
"""Grafana's grid: 24 columns."""
NODE: Final = '* on (drive, instance) group_left () directpv_drive_info{node=~"$node"}'
"""Keeps the drives of the nodes that were chosen."""
_NAMED: Final = '* on (drive, instance) group_left (node, device) directpv_drive_info{node=~"$node"}'


_PROGRAM: Final = "* on (instance) group_left (component) directpv_build_info"
_OF_VOLUME: Final = "* on (drive, instance) group_left ()"


@dataclass(frozen=True)
class Panel:
    """One picture: queries with their legends."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


@dataclass(frozen=True)
class Board:
    """One dashboard; ``variables`` are names with what lists their values."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    variables: tuple[tuple[str, str], ...] = ()


def _rate(name: str, where: str) -> str:
    return f"rate(directpv_drive_{name}_total{{{where}}}[$__rate_interval])"


def _drive_panels(where: str, only: str, legend: str) -> tuple[Panel, ...]:
    """Return pictures of I/O; ``where`` selects series, ``only`` joins with what a drive is."""

    def rate(name: str) -> str:
        return f"{_rate(name, where)}{only}"

    def latency(time: str, count: str) -> str:
        return f"{_rate(time, where)} / ({_rate(count, where)} > 0){only}"

    return (
        Panel(
            "Throughput", "Bps", ((rate("read_bytes"), f"{legend} read"), (rate("written_bytes"), f"{legend} write"))
        ),
        Panel(
            "Operations",
            "iops",
            ((rate("reads_completed"), f"{legend} read"), (rate("writes_completed"), f"{legend} write")),
        ),
        Panel(
            "Latency per operation",
            "s",
            (
                (latency("read_seconds", "reads_completed"), f"{legend} read"),
                (latency("write_seconds", "writes_completed"), f"{legend} write"),
            ),
        ),
        Panel("Busy", "percentunit", ((rate("busy_seconds"), legend),)),
        Panel("Mean queue", "short", ((rate("wait_seconds"), legend),)),
    )


FLEET: Final = Board(
    "directpv-fleet",
    "DirectPV / Fleet",
    (
        Panel(
            "Drives by state", "short", (("sum by (status) (directpv_controller_drives)", "{{status}}"),), kind="stat"
        ),
        Panel("Nodes", "short", (("sum by (state) (directpv_controller_nodes)", "{{state}}"),), kind="stat"),
        Panel(
            "Alerts",
            "short",
            (('count by (alertname) (ALERTS{alertname=~"DirectPV.*"}) or vector(0)', "{{alertname}}"),),
        ),
        Panel(
            "Capacity",
            "bytes",
            (
                ("sum(directpv_controller_allocated_bytes)", "promised"),
                ("sum(directpv_controller_free_bytes)", "free"),
            ),
        ),
        Panel("Volumes", "short", (("sum(directpv_controller_volumes)", "volumes"),)),
        Panel(
            "Drives that are not well",
            "short",
            (("sum by (reason) (directpv_drive_condition)", "{{reason}}"),),
        ),
        Panel(
            "Volumes refused, by reason",
            "short",
            (("sum by (reason) (increase(directpv_controller_placement_refusals_total[5m]))", "{{reason}}"),),
        ),
        Panel(
            "CSI calls",
            "reqps",
            (("sum by (method, code) (rate(directpv_csi_calls_total[$__rate_interval]))", "{{method}} {{code}}"),),
        ),
        Panel("Leader", "short", (("directpv_controller_is_leader", "{{instance}}"),)),
        Panel("Bus", "short", (("directpv_bus_connected", "{{component}} {{instance}}"),)),
        Panel(
            "Seconds a second that requests over the bus are waited for",
            "short",
            (("sum by (endpoint) (rate(directpv_bus_request_seconds_sum[$__rate_interval]))", "{{endpoint}}"),),
        ),
        Panel(
            "Memory",
            "bytes",
            (
                (
                    f"process_resident_memory_bytes {_PROGRAM}",
                    "{{component}} {{instance}}",
                ),
            ),
        ),
        Panel(
            "Processors",
            "short",
            (
                (
                    f"rate(process_cpu_seconds_total[$__rate_interval]) {_PROGRAM}",
                    "{{component}} {{instance}}",
                ),
            ),
        ),
    ),
)

ONE_NODE: Final = Board(
    "directpv-node",
    "DirectPV / Node",
    (
        Panel(
            "State of drives",
            "short",
            ((f"(directpv_drive_status == 1) {_NAMED}", "{{device}} {{status}}"),),
            kind="table",
        ),
        Panel(
            "Reasons",
            "short",
            ((f"directpv_drive_condition {_NAMED}", "{{device}} {{reason}}"),),
        ),
        Panel(
            "Promised and free",
            "bytes",
            (
                (f"sum(directpv_drive_allocated_bytes {NODE})", "promised"),
                (f"sum(directpv_drive_free_bytes {NODE})", "free"),
                (f"sum(directpv_drive_used_bytes {NODE})", "written"),
            ),
        ),
        *_drive_panels("", f" {_NAMED}", "{{device}}"),
        Panel("Temperature", "celsius", ((f"directpv_drive_temperature_celsius {_NAMED}", "{{device}}"),)),
        Panel("Threads that hang", "short", (("directpv_node_hung_threads", "{{instance}}"),)),
    ),
    (("node", "label_values(directpv_drive_info, node)"),),
)

_D: Final = 'drive="$drive"'

ONE_DRIVE: Final = Board(
    "directpv-drive",
    "DirectPV / Drive",
    (
        Panel(
            "What it is",
            "short",
            ((f"directpv_drive_info{{{_D}}}", "{{node}} {{device}} {{make}} {{serial}}"),),
            kind="table",
        ),
        Panel("State", "short", ((f"directpv_drive_status{{{_D}}}", "{{status}}"),)),
        Panel("Reasons", "short", ((f"directpv_drive_condition{{{_D}}}", "{{reason}}"),)),
        Panel(
            "Space",
            "bytes",
            (
                (f"directpv_drive_capacity_bytes{{{_D}}}", "size"),
                (f"directpv_drive_allocated_bytes{{{_D}}}", "promised"),
                (f"directpv_drive_used_bytes{{{_D}}}", "written"),
            ),
        ),
        Panel("Files", "short", ((f"directpv_drive_inodes{{{_D}}} - directpv_drive_inodes_free{{{_D}}}", "files"),)),
        *_drive_panels(_D, "", ""),
        Panel("Requests in flight", "short", ((f"directpv_drive_requests_in_flight{{{_D}}}", "requests"),)),
        Panel("Temperature", "celsius", ((f"directpv_drive_temperature_celsius{{{_D}}}", "disk"),)),
        Panel(
            "Wear and spare blocks",
            "percentunit",
            ((f"directpv_drive_wear_ratio{{{_D}}}", "worn"), (f"directpv_drive_spare_ratio{{{_D}}}", "spare")),
        ),
        Panel("Media errors", "short", ((f"directpv_drive_media_errors_total{{{_D}}}", "errors"),)),
        Panel("Time on", "s", ((f"directpv_drive_power_on_seconds_total{{{_D}}}", "on"),)),
        Panel(
            "Volumes",
            "short",
            ((f"directpv_volume_info{{{_D}}}", "{{volume}} {{claim_namespace}}/{{claim}}"),),
            kind="table",
        ),
    ),
    (("drive", "label_values(directpv_drive_info, drive)"),),
)

_V: Final = 'volume="$volume"'
_U: Final = 'volumeID="$volume"'

ONE_VOLUME: Final = Board(
    "directpv-volume",
    "DirectPV / Volume",
    (
        Panel(
            "What it is",
            "short",
            ((f"directpv_volume_info{{{_V}}}", "{{node}} {{drive}} {{claim_namespace}}/{{claim}}"),),
            kind="table",
        ),
        Panel(
            "Space",
            "bytes",
            (
                (f"directpv_stats_bytes_total{{{_U}}}", "size"),
                (f"directpv_stats_bytes_used{{{_U}}}", "used"),
                (f"directpv_volume_available_bytes{{{_V}}}", "available"),
            ),
        ),
        Panel(
            "Files",
            "short",
            ((f"directpv_volume_inodes_used{{{_V}}}", "used"), (f"directpv_volume_inodes_free{{{_V}}}", "left")),
        ),
        Panel("Drive not well", "short", ((f"directpv_volume_abnormal{{{_V}}}", "abnormal"),)),
        Panel(
            "Reasons of its drive",
            "short",
            (
                (
                    f"directpv_drive_condition {_OF_VOLUME} directpv_volume_info{{{_V}}}",
                    "{{reason}}",
                ),
            ),
        ),
    ),
    (("volume", "label_values(directpv_volume_info, volume)"),),
)

BOARDS: Final = (FLEET, ONE_NODE, ONE_DRIVE, ONE_VOLUME)


def rendered(board: Board) -> Object:
    """Return what Grafana imports."""
    return {
        "uid": board.uid,
        "title": board.title,
        "tags": ["directpv"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_source(), *(_variable(name, query) for name, query in board.variables)]},
        "panels": [_panel(number, panel) for number, panel in enumerate(board.panels)],
    }


def _source() -> Object:
    return {"name": "source", "type": "datasource", "query": "prometheus", "label": "Data source"}


def _variable(name: str, query: str) -> Object:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
    }


def _panel(number: int, panel: Panel) -> Object:
    width = _WIDTH // _PER_ROW
    place = {"h": _HEIGHT, "w": width, "x": number % _PER_ROW * width, "y": number // _PER_ROW * _HEIGHT}
    return {
        "id": number + 1,
        "title": panel.title,
        "type": panel.kind,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": _targets(panel.queries, table=panel.kind == "table"),
    }


def _targets(queries: Sequence[tuple[str, str]], *, table: bool) -> list[Object]:
    return [
        {
            "refId": chr(ord("A") + number),
            "datasource": _SOURCE,
            "expr": query,
            "legendFormat": legend,
            **({"format": "table", "instant": True} if table else {}),
        }
        for number, (query, legend) in enumerate(queries)
    ]


def files() -> dict[str, str]:
    """Return files below ``manifests/monitoring/dashboards``."""
    return {f"{board.uid}.json": json.dumps(rendered(board), indent=1) + "\n" for board in BOARDS}
