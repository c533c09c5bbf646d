"""What DirectCSI (DirectPV up to v3) has left in a cluster, and what keeps each of it from being served here.

Source: upstream's group ``direct.csi.min.io``; a volume that v4 has migrated has the same name, a drive has its file
system's UUID as name.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

GROUP: Final = "direct.csi.min.io"
DRIVER: Final = "direct-csi-min-io"
DRIVES, VOLUMES, PV = "DirectCSIDrive", "DirectCSIVolume", "PersistentVolume"
PLURALS: Final[Mapping[str, str]] = {DRIVES: "directcsidrives", VOLUMES: "directcsivolumes"}
SERVER: Final = "legacy-node-server"
"""DaemonSet of v4 that serves PersistentVolumes of the former driver."""
BY_V4: Final = (
    "this version reads no drives of DirectCSI: install DirectPV v4.1.6 first, end this with its own plugin (kubectl "
    "directpv migrate), then switch"
)
KEPT: Final = "v4 has migrated it, and this version goes on with what v4 made of it"
SERVED: Final = f"its driver is {DRIVER}; DaemonSet {SERVER} of v4 serves it, and must stay"
UNSERVED: Final = (
    f"its driver is {DRIVER}, and DaemonSet {SERVER} of v4, which serves that, is not there: pods that use it do not "
    "start. Put it back with v4.1.6 (kubectl directpv install), or copy the data into a volume of this driver"
)


class State(StrEnum):
    """How an object of DirectCSI is."""

    MIGRATED = "Migrated"
    SERVED = "Served"
    NOT_MIGRATED = "NotMigrated"
    NOT_SERVED = "NotServed"


GOOD: Final = frozenset({State.MIGRATED, State.SERVED})


class Legacy(NamedTuple):
    """One object of DirectCSI."""

    kind: str
    name: str
    state: State
    detail: str


class Left(NamedTuple):
    """All that there is of DirectCSI, and what it is compared with."""

    drives: list[dict[str, Any]]
    volumes: list[dict[str, Any]]
    pvs: list[dict[str, Any]]
    """All PersistentVolumes of the cluster."""
    known_drives: frozenset[str]
    """Names of DirectPVDrives: UUIDs of file systems."""
    known_volumes: frozenset[str]
    served: bool
    """Whether DaemonSet :data:`SERVER` is there."""


def found(left: Left) -> list[Legacy]:
    """Return what is left of DirectCSI, each with what is in its way."""
    return [
        *(
            _object(DRIVES, item, bool(left.known_drives.intersection(_words(item.get("status")))))
            for item in left.drives
        ),
        *(_object(VOLUMES, item, _name(item) in left.known_volumes) for item in left.volumes),
        *(_pv(item, served=left.served) for item in left.pvs if _driver(item) == DRIVER),
    ]


def _object(kind: str, item: Mapping[str, Any], migrated: bool) -> Legacy:
    state, detail = (State.MIGRATED, KEPT) if migrated else (State.NOT_MIGRATED, BY_V4)
    return Legacy(kind, _name(item), state, detail)


def _pv(item: Mapping[str, Any], *, served: bool) -> Legacy:
    state, detail = (State.SERVED, SERVED) if served else (State.NOT_SERVED, UNSERVED)
    return Legacy(PV, _name(item), state, detail)


def _name(item: Mapping[str, Any]) -> str:
    return str((item.get("metadata") or {}).get("name", ""))


def _driver(item: Mapping[str, Any]) -> str:
    return str(((item.get("spec") or {}).get("csi") or {}).get("driver", ""))


def _words(value: object) -> Iterator[str]:
    """Yield the strings in a document: the field that has the UUID differs from version to version."""
    if isinstance(value, str):
        yield value.lower()
    elif isinstance(value, Mapping):
        yield from _each(value.values())
    elif isinstance(value, list):
        yield from _each(value)


def _each(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        yield from _words(value)


def versions_of(definition: Mapping[str, Any]) -> list[str]:
    """Return the versions that a CustomResourceDefinition serves, the one that is stored first."""
    versions = [each for each in (definition.get("spec") or {}).get("versions") or () if each.get("served")]
    return [str(each["name"]) for each in sorted(versions, key=lambda each: not each.get("storage"))]
