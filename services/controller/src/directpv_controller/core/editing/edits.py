"""What people and upstream's plugin may change on an object behind our back, and what is made of it.

Everything else on an object is ours: it is written again as it should be.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from directpv_common.protocol.messages import DriveRecord, VolumeRecord

replace = msgspec.structs.replace


def drive_with_edit(base: DriveRecord, theirs: DriveRecord, ours: DriveRecord) -> DriveRecord:
    """Return ``ours`` with the decisions of people that differ between ``base`` and ``theirs``.

    Args:
        base: What we wrote or read last.
        theirs: What the object says now.
        ours: What the ledger says.
    """
    return replace(
        ours,
        unschedulable=_chosen(base.unschedulable, theirs.unschedulable, ours.unschedulable),
        access_tier=_chosen(base.access_tier, theirs.access_tier, ours.access_tier),
        labels=merged(base.labels, theirs.labels, ours.labels),
    )


def volume_with_edit(base: VolumeRecord, theirs: VolumeRecord, ours: VolumeRecord) -> VolumeRecord:
    """Return ``ours`` with the labels that people changed, and deleted if somebody released it. Args as above."""
    deleting = ours.deleting or (theirs.deleting and not base.deleting)
    return replace(ours, labels=merged(base.labels, theirs.labels, ours.labels), deleting=deleting)


def not_taken(theirs: msgspec.Struct, taken: msgspec.Struct, *, ignored: frozenset[str] = frozenset()) -> list[str]:
    """Return the names of the fields that an edit changed and that were not taken in, sorted.

    Args:
        theirs: What the object says.
        taken: What the ledger says with the edit taken in.
        ignored: Fields that are told in another way.
    """
    fields = set(theirs.__struct_fields__) - ignored
    return sorted(field for field in fields if getattr(theirs, field) != getattr(taken, field))


def merged(base: Mapping[str, str], theirs: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Return ``ours`` with each key as ``theirs`` where that differs from ``base``.

    >>> merged({"a": "1", "b": "2"}, {"b": "3"}, {"a": "1", "b": "2", "c": "4"})
    {'b': '3', 'c': '4'}
    """
    edited = {key for key in base.keys() | theirs.keys() if base.get(key) != theirs.get(key)}
    kept = {key: value for key, value in ours.items() if key not in edited}
    return {**kept, **{key: theirs[key] for key in theirs if key in edited}}


def _chosen(base: Any, theirs: Any, ours: Any) -> Any:
    return theirs if theirs != base else ours
