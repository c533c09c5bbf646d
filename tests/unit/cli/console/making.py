"""Installations of a few words, for tests of what the console says of them."""

import uuid
from typing import Any

import directpv_common.protocol.messages as m
from directpv_cli.console.core.picture import Picture
from directpv_cli.showing.health import Heard


def fsuuid(number: int) -> str:
    return str(uuid.UUID(int=number))


def node(name: str = "n1", *, online: bool = True) -> m.NodeSummary:
    info = m.NodeInfo(name=name, topology={}, version="1")
    return m.NodeSummary(info=info, online=online, total=4 << 30, allocated=1 << 30, volumes=1)


def drive(number: int = 1, *, online: bool = True, **facts: Any) -> m.DriveInfo:
    known = {"fsuuid": fsuuid(number), "node": "n1", "device": f"sd{chr(96 + number)}", "total": 4 << 30, "overhead": 0}
    return m.DriveInfo(record=m.DriveRecord(**{**known, **facts}), free=3 << 30, allocated=1, volumes=1, online=online)


def volume(number: int = 1, **facts: Any) -> m.VolumeInfo:
    record = m.VolumeRecord(name=f"pvc-{number}", fsuuid=fsuuid(1), capacity=1 << 30)
    return m.VolumeInfo(**{"record": record, "node": "n1", "device": "sda", **facts})


def picture(drives: tuple[m.DriveInfo, ...] = (), volumes: tuple[m.VolumeInfo, ...] = (), **facts: Any) -> Picture:
    heard = Heard("c1", "1", "bus", "12 kept", facts.pop("nodes", (node(),)), drives or (drive(),), ())
    return Picture(heard._replace(**facts), volumes or (volume(),), number=1)
