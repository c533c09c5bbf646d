"""What the dashboards show: the fleet, one node, one drive, one volume. Each panel shows data of a running stack.

With 2,000 nodes there are half a million series of drives alone. What looks at all nodes asks for sums, and what looks
at one asks for its series alone: a join that chooses afterwards makes Prometheus read all of them.
"""

from dataclasses import dataclass
from typing import Final

from directpv_cli.release.monitoring import records

_N: Final = 'instance=~"$instance"'
"""Series of the agent of the node that was chosen: an agent has several addresses in the time that is shown."""
_NAMED: Final = f"* on (drive, instance) group_left (node, device) directpv_drive_info{{{_N}}}"
_PROGRAM: Final = "* on (instance) group_left (component) directpv_build_info"
_NO_DISK: Final = "the disk does not tell it"


@dataclass(frozen=True)
class Panel:
    """One picture: queries with their legends."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    empty: str = "nothing was scraped"
    """What stands there if there is no figure."""


@dataclass(frozen=True)
class Variable:
    """What can be chosen; a hidden one follows from the others, and means all of its values."""

    name: str
    values: str
    """What Grafana asks for them."""
    hidden: bool = False


@dataclass(frozen=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...] = ()


def _rate(name: str, where: str) -> str:
    return f"rate(directpv_drive_{name}_total{{{where}}}[$__rate_interval])"


def _drive_panels(where: str, named: str = "", legend: str = "") -> tuple[Panel, ...]:
    """Return pictures of I/O; ``where`` selects series, ``named`` joins with what a drive is called in ``legend``."""

    def rate(name: str) -> str:
        return f"{_rate(name, where)}{named}"

    def latency(time: str, count: str) -> str:
        return f"{_rate(time, where)} / ({_rate(count, where)} > 0){named}"

    def pair(first: str, second: str) -> tuple[tuple[str, str], ...]:
        return ((first, f"{legend}read"), (second, f"{legend}write"))

    return (
        Panel("Throughput", "Bps", pair(rate("read_bytes"), rate("written_bytes"))),
        Panel("Operations", "iops", pair(rate("reads_completed"), rate("writes_completed"))),
        Panel(
            "Latency per operation",
            "s",
            pair(latency("read_seconds", "reads_completed"), latency("write_seconds", "writes_completed")),
            empty="no operation in this time",
        ),
        Panel("Busy", "percentunit", ((rate("busy_seconds"), f"{legend}busy"),)),
        Panel("Mean queue", "short", ((rate("wait_seconds"), f"{legend}requests"),)),
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
            "Alerts that fire",
            "short",
            (
                (
                    'count by (alertname) (ALERTS{alertname=~"DirectPV.*", alertstate="firing"}) '
                    'or label_replace(vector(0), "alertname", "none", "", "")',
                    "{{alertname}}",
                ),
            ),
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
            ((records.DRIVES_UNWELL, "{{reason}}"),),
            empty="the rules in rules.yaml are not loaded",
        ),
        Panel(
            "Volumes refused, by reason",
            "short",
            (("sum by (reason) (increase(directpv_controller_placement_refusals_total[5m]))", "{{reason}}"),),
        ),
        Panel(
            "CSI calls",
            "reqps",
            ((records.CALLS, "{{method}} {{code}}"),),
            empty="the rules in rules.yaml are not loaded",
        ),
        Panel("Leader", "short", (("directpv_controller_is_leader", "{{instance}}"),)),
        Panel(
            "Programs without NATS",
            "short",
            (
                (
                    "count by (component) (directpv_bus_connected) - sum by (component) (directpv_bus_connected)",
                    "{{component}}",
                ),
            ),
        ),
        Panel(
            "Seconds a second that requests over the bus are waited for",
            "short",
            ((records.BUS_SECONDS, "{{endpoint}}"),),
            empty="the rules in rules.yaml are not loaded",
        ),
        Panel(
            "Memory of the largest program",
            "bytes",
            ((f"max by (component) (process_resident_memory_bytes {_PROGRAM})", "{{component}}"),),
        ),
        Panel(
            "Processors of the busiest program",
            "short",
            (
                (
                    f"max by (component) (rate(process_cpu_seconds_total[$__rate_interval]) {_PROGRAM})",
                    "{{component}}",
                ),
            ),
        ),
    ),
)

_NODE: Final = Variable("node", "label_values(directpv_drive_info, node)")
_OF_NODE: Final = '{node="$node"}'

ONE_NODE: Final = Board(
    "directpv-node",
    "DirectPV / Node",
    (
        Panel(
            "State of drives",
            "short",
            ((f"(directpv_drive_status{{{_N}}} == 1) {_NAMED}", "{{device}} {{status}}"),),
            kind="table",
        ),
        Panel(
            "Drives that are not well",
            "short",
            ((f"sum by (reason) (directpv_drive_condition{{{_N}}})", "{{reason}}"),),
        ),
        Panel(
            "Promised and free",
            "bytes",
            (
                (f"sum(directpv_drive_allocated_bytes{{{_N}}})", "promised"),
                (f"sum(directpv_drive_free_bytes{{{_N}}})", "free"),
                (f"sum(directpv_drive_used_bytes{{{_N}}})", "written"),
            ),
        ),
        *_drive_panels(_N, f" {_NAMED}", "{{device}} "),
        Panel(
            "Temperature",
            "celsius",
            ((f"directpv_drive_temperature_celsius{{{_N}}} {_NAMED}", "{{device}}"),),
            empty=_NO_DISK,
        ),
        Panel("Threads that hang", "short", ((f"directpv_node_hung_threads{{{_N}}}", "threads"),)),
    ),
    (_NODE, Variable("instance", f"label_values(directpv_drive_info{_OF_NODE}, instance)", hidden=True)),
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
        *_drive_panels(_D),
        Panel("Requests in flight", "short", ((f"directpv_drive_requests_in_flight{{{_D}}}", "requests"),)),
        Panel("Temperature", "celsius", ((f"directpv_drive_temperature_celsius{{{_D}}}", "disk"),), empty=_NO_DISK),
        Panel(
            "Wear and spare blocks",
            "percentunit",
            ((f"directpv_drive_wear_ratio{{{_D}}}", "worn"), (f"directpv_drive_spare_ratio{{{_D}}}", "spare")),
            empty=_NO_DISK,
        ),
        Panel("Media errors", "short", ((f"directpv_drive_media_errors_total{{{_D}}}", "errors"),), empty=_NO_DISK),
        Panel("Time on", "s", ((f"directpv_drive_power_on_seconds_total{{{_D}}}", "on"),), empty=_NO_DISK),
        Panel(
            "Volumes",
            "short",
            ((f"directpv_volume_info{{{_D}}}", "{{volume}} {{claim_namespace}}/{{claim}}"),),
            kind="table",
            empty="no volumes",
        ),
    ),
    (_NODE, Variable("drive", f"label_values(directpv_drive_info{_OF_NODE}, drive)")),
)

_V: Final = 'volume="$volume"'
_U: Final = 'volumeID="$volume"'
_ITS: Final = 'drive=~"$drive"'

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
            empty="no pod uses it",
        ),
        Panel(
            "Files",
            "short",
            ((f"directpv_volume_inodes_used{{{_V}}}", "used"), (f"directpv_volume_inodes_free{{{_V}}}", "left")),
            empty="no pod uses it",
        ),
        Panel("Volume or drive not well", "short", ((f"directpv_volume_abnormal{{{_V}}}", "abnormal"),)),
        Panel("Reasons of its drive", "short", ((f"directpv_drive_condition{{{_ITS}}}", "{{reason}}"),)),
    ),
    (
        _NODE,
        Variable("volume", f"label_values(directpv_volume_info{_OF_NODE}, volume)"),
        Variable("drive", f"label_values(directpv_volume_info{{{_V}}}, drive)", hidden=True),
    ),
)

BOARDS: Final = (FLEET, ONE_NODE, ONE_DRIVE, ONE_VOLUME)
