"""Drives and volumes as rows of tables: columns, and a cell for each. Pure but for the clock that ages need."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import directpv_common.protocol.messages as m
from directpv_cli.reading.selection import pod_of
from directpv_cli.showing.ages import age_of
from directpv_cli.showing.terminal.cells import Column
from directpv_cli.showing.titles import device_cell
from directpv_common.protocol import names
from directpv_common.protocol.units import format_bytes

DRIVE_COLUMNS: Final = (
    Column("DRIVE ID"),
    Column("NODE"),
    Column("NAME"),
    Column("MAKE", goes=4),
    Column("SIZE", goes=2),
    Column("FREE", goes=1),
    Column("VOLUMES", goes=3),
    Column("STATUS", state=True),
    Column("AGE", goes=5),
)
"""In the order of upstream's, and AGE."""
VOLUME_COLUMNS: Final = (
    Column("VOLUME"),
    Column("CAPACITY", goes=2),
    Column("NODE"),
    Column("DRIVE"),
    Column("PODNAME", goes=1),
    Column("PODNAMESPACE", goes=3),
    Column("STATUS", state=True),
    Column("AGE", goes=4),
)
LABELS: Final = Column("LABELS", folds=24)

DRIVE_KEYS: Final[Mapping[str, Callable[[m.DriveInfo], Any]]] = {
    "drive id": lambda each: each.record.fsuuid,
    "node": lambda each: each.record.node,
    "name": lambda each: each.record.device,
    "make": lambda each: each.record.make,
    "size": lambda each: each.record.total,
    "free": lambda each: each.free,
    "volumes": lambda each: each.volumes,
    "status": lambda each: drive_state(each.record),
    "age": lambda each: _reversed(each.record.created),
}
"""What ``--sort-by`` compares, by the title of a column."""
VOLUME_KEYS: Final[Mapping[str, Callable[[m.VolumeInfo], Any]]] = {
    "volume": lambda each: each.record.name,
    "capacity": lambda each: each.record.capacity,
    "node": lambda each: each.node,
    "drive": lambda each: each.device,
    "podname": lambda each: each.record.pod_name,
    "podnamespace": lambda each: each.record.pod_namespace,
    "status": lambda each: each.status,
    "age": lambda each: _reversed(each.record.created),
    "drive id": lambda each: each.record.fsuuid,
    "pvc": lambda each: (each.record.pvc_namespace, each.record.pvc_name),
}


def _reversed(created: str) -> tuple[int, ...]:
    """Return what puts the youngest first."""
    return tuple(-ord(letter) for letter in created)


def drive_order(drive: m.DriveInfo) -> tuple[Any, ...]:
    """Return what drives are sorted by unless people say otherwise, as upstream sorts them."""
    record = drive.record
    return record.node, record.status, record.total, drive.free, record.device


def volume_order(volume: m.VolumeInfo) -> tuple[Any, ...]:
    """Return what volumes are sorted by unless people say otherwise, as upstream sorts them."""
    record = volume.record
    return pod_of(volume)[1], volume.node, volume.status, record.capacity, volume.device, record.name


def drive_row(drive: m.DriveInfo, *, labels: bool) -> list[str]:
    """Return a drive's cells, in the order of :data:`DRIVE_COLUMNS`."""
    record = drive.record
    return [
        record.fsuuid,
        record.node,
        device_cell(record),
        record.make,
        _size(record.total),
        _size(drive.free),
        str(drive.volumes) if drive.volumes else "",
        drive_state(record) + ",Offline" * (not drive.online),
        age_of(record.created),
        *([label_text(record.labels)] if labels else []),
    ]


def drive_state(record: m.DriveRecord) -> str:
    """Return the status with its suffixes, as upstream shows it."""
    suspended = names.is_suspended(record.labels)
    return f"{record.status}{',SchedulingDisabled' * record.unschedulable}{',Suspended' * suspended}"


def label_text(labels: dict[str, str]) -> str:
    """Return what people labelled, without the group's prefix."""
    pairs = sorted(names.user_labels(labels).items())
    return ",".join(f"{key.removeprefix(names.GROUP + '/')}={value}" for key, value in pairs)


def volume_row(volume: m.VolumeInfo, *, wide: bool, pvc: bool, labels: bool) -> list[str]:
    """Return a volume's cells, in the order of :data:`VOLUME_COLUMNS`."""
    record = volume.record
    claim = f"{record.pvc_namespace}/{record.pvc_name}" if record.pvc_name else ""
    return [
        record.name,
        _size(record.capacity),
        volume.node,
        volume.device,
        *pod_of(volume),
        f"{volume.status}{',Suspended' * names.is_suspended(record.labels)}",
        age_of(record.created),
        *([record.fsuuid] if wide else []),
        *([claim] if pvc else []),
        *([label_text(record.labels)] if labels else []),
    ]


def _size(value: int) -> str:
    return format_bytes(value) if value else ""
