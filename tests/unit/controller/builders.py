"""Builders that give every default, so that only the fact under test is visible."""

import itertools
import random
import uuid
from typing import Any

import directpv_common.protocol.messages as m
from directpv_common.protocol import names
from directpv_controller.core.placing.model import Change, Drive, Volume
from directpv_controller.core.placing.wanted import wanted_from
from directpv_controller.core.reserving.ledger import Ledger

GIB = 1024**3
NOW = "2026-11-22T10:00:00Z"
CLAIM = "0e5f6ab7-6d5d-4a5b-8f61-5d9e4b0c1a2b"

_numbers = itertools.count(1)


def drive_record(free: int = 10 * GIB, *, node: str = "n1", **facts: Any) -> m.DriveRecord:
    """A healthy drive with ``free`` bytes for volumes, and 1 GiB of overhead."""
    topology = {names.NODE: node, **facts.pop("topology", {})}
    fsuuid = facts.pop("fsuuid", str(uuid.UUID(int=next(_numbers))))
    return m.DriveRecord(fsuuid=fsuuid, node=node, total=free + GIB, overhead=GIB, topology=topology, **facts)


def ledger_of(*records: m.DriveRecord, seed: int = 1) -> Ledger:
    ledger = Ledger(random.Random(seed).random)
    for record in records:
        ledger.register(record).done()
    return ledger


def request(name: str = "v1", required: int = GIB, **asked: Any) -> m.CreateVolume:
    return m.CreateVolume(name=name, required=required, **asked)


def place(ledger: Ledger, name: str = "v1", required: int = GIB, **asked: Any) -> Volume:
    """Place a volume, and commit it."""
    volume, change = ledger.place(wanted_from(request(name, required, **asked)), now=NOW)
    if change is not None:
        change.done()
    return volume


def home(ledger: Ledger, name: str = "v1", required: int = GIB, **asked: Any) -> str:
    """Place a volume and return its drive's id."""
    return place(ledger, name, required, **asked).record.fsuuid


def committed(change: Change | None) -> None:
    assert change is not None
    change.done()


def on(*nodes: str) -> tuple[dict[str, str], ...]:
    """One topology term per node."""
    return tuple({names.NODE: node} for node in nodes)


def held(drive: Drive | m.DriveRecord, *volumes: m.VolumeRecord, generation: int = 1, **facts: Any) -> m.HeldDrive:
    """The drive as its node would report it."""
    record = drive.record if isinstance(drive, Drive) else drive
    uses = facts.pop("uses", {})
    return m.HeldDrive(
        record=facts.pop("record", record),
        generation=generation,
        volumes=tuple(m.HeldVolume(record=volume, use=uses.get(volume.name, m.VolumeUse())) for volume in volumes),
        **facts,
    )


def volume_record(name: str, drive: m.DriveRecord, capacity: int = GIB, **facts: Any) -> m.VolumeRecord:
    return m.VolumeRecord(name=name, fsuuid=drive.fsuuid, capacity=capacity, **facts)
