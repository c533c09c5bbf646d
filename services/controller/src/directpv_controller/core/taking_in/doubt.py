"""Whether what a node says of a drive can be believed: nonsense of one node must not reach the registry, or others."""

from collections.abc import Iterator, Mapping
from typing import Final

from directpv_common.protocol.messages import DriveRecord, HeldDrive, HeldVolume, VolumeRecord

LARGEST_DRIVE: Final = 2**56
"""Bytes: 64 PiB. A hundred such drives can be added up in an int64."""
KEY_AT_MOST: Final = 317
"""Characters: a DNS name, a slash, and a name of 63. Source: Kubernetes, "Labels and Selectors"."""
TEXT_AT_MOST: Final = 4_096
PAIRS_AT_MOST: Final = 256
CONDITIONS_AT_MOST: Final = 64
PATHS_AT_MOST: Final = 4_096


def doubt(record: DriveRecord) -> str:
    """Return why the drive cannot be as its node says; empty if it can. Names the field."""
    return next(_of_drive(record), "")


def doubtful_volumes(held: HeldDrive) -> dict[str, str]:
    """Return the volumes that cannot be as their node says, with the reason, which names the field."""
    reasons = ((found.record.name, next(_of_volume(found, held.record.total), "")) for found in held.volumes)
    return {name: why for name, why in reasons if why}


def _of_drive(record: DriveRecord) -> Iterator[str]:
    if record.total > LARGEST_DRIVE:
        yield f"total: {record.total} bytes are more than any disk has"
    if record.overhead > record.total:
        yield f"overhead: {record.overhead} bytes are more than the drive's {record.total}"
    if len(record.conditions) > CONDITIONS_AT_MOST:
        yield f"conditions: {len(record.conditions)} are more than there are kinds"
    for condition in record.conditions:
        yield from _long("conditions", condition.message)
    for name in ("device", "make"):
        yield from _long(name, str(getattr(record, name, "")))
    yield from _pairs("labels", record.labels)
    yield from _pairs("topology", record.topology)


def _of_volume(found: HeldVolume, total: int) -> Iterator[str]:
    record, use = found.record, found.use
    if record.capacity > total > 0:
        yield f"capacity: {record.capacity} bytes are more than the drive's {total}"
    yield from _words(record)
    if len(use.published) > PATHS_AT_MOST:
        yield f"published: {len(use.published)} paths"


def _words(record: VolumeRecord) -> Iterator[str]:
    yield from _pairs("labels", record.labels)
    yield from _pairs("parameters", record.parameters)
    for name in ("claim_id", "pvc_name", "pvc_namespace", "pod_name", "pod_namespace", "pod_uid", "created"):
        yield from _long(name, getattr(record, name))


def _pairs(field: str, pairs: Mapping[str, str]) -> Iterator[str]:
    if len(pairs) > PAIRS_AT_MOST:
        yield f"{field}: {len(pairs)} pairs"
    for key, value in pairs.items():
        if len(key) > KEY_AT_MOST:
            yield f"{field}: a key of {len(key)} characters"
        yield from _long(f"{field}[{key[:64]}]", value)


def _long(field: str, text: str) -> Iterator[str]:
    if len(text) > TEXT_AT_MOST:
        yield f"{field}: {len(text)} characters"
