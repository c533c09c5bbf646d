"""What is known of one node, drive, disk or volume, as names and values: those of ``kubectl directpv describe``."""

import directpv_common.protocol.messages as m
from directpv_cli.console.core.bays import state_of
from directpv_cli.showing.ages import age_of
from directpv_cli.showing.rows import label_text
from directpv_common.protocol import names
from directpv_common.protocol.units import format_bytes

Facts = list[tuple[str, str]]


def of_node(node: m.NodeSummary) -> Facts:
    """Return the facts of a node."""
    info = node.info
    return [
        ("Status", "Online" if node.online else "Offline"),
        ("Heard", f"{age_of(node.last_seen)} ago" if node.last_seen else "not since the controller leads"),
        ("Agent", info.version),
        ("Sizes", "enforced" if info.quota_enforced else "not enforced (--quota=best-effort)"),
        ("Capacity", f"{format_bytes(node.allocated)} of {format_bytes(node.total)} allocated"),
        ("Volumes", str(node.volumes)),
        ("Topology", _place(info.topology)),
    ]


def of_drive(drive: m.DriveInfo) -> Facts:
    """Return the facts of a drive."""
    record = drive.record
    return [
        ("Drive", record.fsuuid),
        ("Device", record.device),
        ("Make", record.make),
        ("Status", state_of(drive)),
        ("Size", format_bytes(record.total)),
        ("Free", format_bytes(drive.free)),
        ("Allocated", f"{format_bytes(drive.allocated)}, of these {format_bytes(record.overhead)} by XFS itself"),
        ("Access tier", record.access_tier),
        ("Labels", label_text(record.labels)),
        ("Topology", _place(record.topology)),
        ("Age", age_of(record.created)),
    ]


def of_disk(disk: m.DriveMetrics | None) -> Facts:
    """Return what a disk says of itself (SMART); what it does not say is left out."""
    if disk is None:
        return []
    told = [
        (
            "SMART",
            None if disk.failure_predicted is None else ("expects to fail" if disk.failure_predicted else "passed"),
        ),
        ("Temperature", _of(disk.temperature_celsius, " °C")),
        ("Wear", _of(disk.wear_percent, " % of its rated endurance")),
        ("Spare", _of(disk.spare_percent, " %")),
        ("Media errors", _of(disk.media_errors, "")),
        ("Power on", _of(disk.power_on_hours, " hours")),
    ]
    return [(name, text) for name, text in told if text is not None]


def of_volume(volume: m.VolumeInfo) -> Facts:
    """Return the facts of a volume."""
    record = volume.record
    claim = f"{record.pvc_namespace}/{record.pvc_name}" if record.pvc_name else ""
    pod = f"{record.pod_namespace}/{record.pod_name}" if record.pod_name else ""
    return [
        ("Status", str(volume.status)),
        ("Health", volume.condition),
        ("Capacity", format_bytes(record.capacity)),
        ("Claim", claim),
        ("Pod", pod),
        ("Staged at", volume.use.staged),
        *[("Published at", path) for path in volume.use.published or ("",)],
        ("Labels", label_text(record.labels)),
        ("Parameters", _pairs(record.parameters)),
        ("Age", age_of(record.created)),
    ]


def _of(value: int | None, unit: str) -> str | None:
    return None if value is None else f"{value}{unit}"


def _pairs(pairs: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(pairs.items()))


def _place(topology: dict[str, str]) -> str:
    """Return where something is: without the group's prefix, and what all drives have."""
    short = {key.removeprefix(f"{names.GROUP}/"): value for key, value in topology.items() if key != names.IDENTITY}
    return _pairs(short)
