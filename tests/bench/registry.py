"""Registries of any size, filled directly: nobody waits for 100,000 real drives."""

import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import directpv_common.protocol.messages as m
from directpv_common.protocol import names
from directpv_common.protocol.units import GIB, MIB, TIB
from directpv_common.protocol.wire import encode
from directpv_controller.registry.sqlite.file import SqliteFile

DRIVES_PER_NODE = 20
CLASS = f"{names.GROUP}/class"


@dataclass(frozen=True)
class Shape:
    """How drives are spread: over nodes, nodes over racks, and drives over classes by a label."""

    per_node: int = DRIVES_PER_NODE
    racks: int = 1
    classes: int = 0


USUAL = Shape()


def node_name(number: int) -> str:
    """Name of a made-up node."""
    return f"worker-{number:05d}"


def drive_records(count: int, shape: Shape = Shape()) -> Iterator[m.DriveRecord]:
    """Ready drives of 16 TiB."""
    for number in range(count):
        node = node_name(number // shape.per_node)
        topology = dict.fromkeys(names.TOPOLOGY_KEYS, "default")
        topology[names.RACK] = f"rack-{number // shape.per_node % shape.racks}"
        yield m.DriveRecord(
            fsuuid=str(uuid.UUID(int=number + 1)),
            node=node,
            device=f"nvme{number % shape.per_node}n1",
            labels={CLASS: f"class-{number % shape.classes}"} if shape.classes else {},
            make="Acme Disk9",
            total=16 * TIB,
            overhead=8 * GIB,
            topology={**topology, names.IDENTITY: names.DRIVER_NAME, names.NODE: node},
            created="2026-01-01T00:00:00Z",
        )


def volume_records(count: int, drives: int) -> Iterator[m.VolumeRecord]:
    """Volumes of 1 MiB, spread over the drives."""
    for number in range(count):
        yield m.VolumeRecord(
            name=f"pvc-{uuid.UUID(int=number + 1)}",
            fsuuid=str(uuid.UUID(int=number % drives + 1)),
            capacity=MIB,
            pvc_name=f"data-{number}",
            pvc_namespace="bench",
            created="2026-01-01T00:00:00Z",
        )


def fill(path: Path, *, drives: int, volumes: int = 0, shape: Shape = Shape()) -> None:
    """Make a registry file with so many drives and volumes."""
    file = SqliteFile(path, lambda size, seconds: None)
    file.open()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN")
    rows = ((record.fsuuid, encode(record)) for record in drive_records(drives, shape))
    connection.executemany("INSERT INTO drives VALUES (?, ?)", rows)
    named = ((record.name, encode(record)) for record in volume_records(volumes, drives))
    connection.executemany("INSERT INTO volumes VALUES (?, ?)", named)
    connection.execute("DELETE FROM meta WHERE key = 'rebuilding'")
    connection.execute("COMMIT")
    connection.close()
