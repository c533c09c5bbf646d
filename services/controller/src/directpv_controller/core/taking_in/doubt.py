"""Whether what a node says can be believed: nonsense of one node must not reach the registry, or others."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from msgspec.structs import replace

from directpv_common.crd.persistent_volumes import OPTIONS_AT_MOST
from directpv_common.protocol.messages import (
    FSUUID_PATTERN,
    Condition,
    DriveHealth,
    DriveRecord,
    HeldDrive,
    HeldVolume,
    KeptPv,
    NodeInfo,
    NodeState,
    VolumeRecord,
)
from directpv_common.protocol.wire import encode

LARGEST_DRIVE: Final = 2**56
"""Bytes: 64 PiB. A hundred such drives can be added up in an int64."""
KEY_AT_MOST: Final = 317
"""Characters: a DNS name, a slash, and a name of 63. Source: Kubernetes, "Labels and Selectors"."""
TEXT_AT_MOST: Final = 4_096
PAIRS_AT_MOST: Final = 256
CONDITIONS_AT_MOST: Final = 64
PATHS_AT_MOST: Final = 4_096
RECORD_AT_MOST: Final = 256 * 1024
"""Bytes of a drive or of a volume with its paths, as it is sent: a page of a list has room for any."""
DRIVES_AT_MOST: Final = 4_096
"""Of one node."""
_is_fsuuid: Final = re.compile(FSUUID_PATTERN).match


def doubt(record: DriveRecord) -> str:
    """Return why the drive cannot be as its node says; empty if it can. Names the field."""
    return next(_of_drive(record), "")


def doubtful_volumes(held: HeldDrive) -> dict[str, str]:
    """Return the volumes that cannot be as their node says, with the reason, which names the field."""
    reasons = ((found.record.name, next(_of_volume(found, held.record.total), "")) for found in held.volumes)
    return {name: why for name, why in reasons if why}


def believed(state: NodeState) -> tuple[NodeState, str]:
    """Return what of a heartbeat can be so, and why the rest cannot; empty if all can. Names the field.

    That the node is there, which drives it has and whether they are well is believed all the same.
    """
    why = next(_of_node(state.info), "")
    if why:
        info = state.info
        state = replace(state, info=NodeInfo(name=info.name, topology={}, quota_enforced=info.quota_enforced))
    if len(state.drives) > DRIVES_AT_MOST or not all(map(_is_fsuuid, state.drives)):
        why = why or f"drives: {len(state.drives)}, of which {sum(map(bool, map(_is_fsuuid, state.drives)))} have ids"
        drives = ((fsuuid, told) for fsuuid, told in state.drives.items() if _is_fsuuid(fsuuid))
        state = replace(state, drives=dict(islice(drives, DRIVES_AT_MOST)))
    for fsuuid, health in (state.unwell or {}).items():
        if doubtful := next(_of_conditions(health.conditions), ""):
            why = why or f"unwell[{fsuuid[:64]}]: {doubtful}"
            state = replace(state, unwell={**(state.unwell or {}), fsuuid: DriveHealth(status=health.status)})
    return state, why


def _of_node(info: NodeInfo) -> Iterator[str]:
    yield from _pairs("topology", info.topology)
    yield from _long("version", info.version)
    if (size := len(encode(info))) > RECORD_AT_MOST:
        yield f"info: {size} bytes"


def _of_conditions(conditions: tuple[Condition, ...]) -> Iterator[str]:
    if len(conditions) > CONDITIONS_AT_MOST:
        yield f"conditions: {len(conditions)} are more than there are kinds"
    for condition in conditions:
        yield from _long("conditions", condition.message)
        yield from _long("conditions", condition.since)


def _of_drive(record: DriveRecord) -> Iterator[str]:
    if record.total > LARGEST_DRIVE:
        yield f"total: {record.total} bytes are more than any disk has"
    if record.overhead > record.total:
        yield f"overhead: {record.overhead} bytes are more than the drive's {record.total}"
    yield from _of_conditions(record.conditions)
    for name in ("device", "make"):
        yield from _long(name, str(getattr(record, name, "")))
    yield from _pairs("labels", record.labels)
    yield from _pairs("topology", record.topology)
    if (size := len(encode(record))) > RECORD_AT_MOST:
        yield f"record: {size} bytes"


def _of_volume(found: HeldVolume, total: int) -> Iterator[str]:
    record, use = found.record, found.use
    if record.capacity > total > 0:
        yield f"capacity: {record.capacity} bytes are more than the drive's {total}"
    yield from _words(record)
    if len(use.published) > PATHS_AT_MOST:
        yield f"published: {len(use.published)} paths"
    if (size := len(encode(found))) > RECORD_AT_MOST:
        yield f"record: {size} bytes, with the paths at which it is mounted"


def _words(record: VolumeRecord) -> Iterator[str]:
    yield from _pairs("labels", record.labels)
    yield from _pairs("parameters", record.parameters)
    if record.pv is not None:
        yield from _pv(record.pv)
    for name in ("claim_id", "pvc_name", "pvc_namespace", "pod_name", "pod_namespace", "pod_uid", "created"):
        yield from _long(name, getattr(record, name))


def _pv(kept: KeptPv) -> Iterator[str]:
    for name in ("access_modes", "mount_options"):
        if len(getattr(kept, name)) > OPTIONS_AT_MOST:
            yield f"pv.{name}: {len(getattr(kept, name))} words"
    words = (kept.storage_class, kept.reclaim_policy, kept.fs_type, *kept.access_modes, *kept.mount_options)
    for word in words:
        yield from _long("pv", word)


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
