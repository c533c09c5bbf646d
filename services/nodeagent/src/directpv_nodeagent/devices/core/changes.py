"""What is different between two scans of the block devices."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from directpv_nodeagent.devices.core.facts import DeviceFacts


class Kind(StrEnum):
    """What happened to a device; the last part of the event's subject."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


def present(found: Iterable[DeviceFacts]) -> dict[str, DeviceFacts]:
    """Return devices by kernel name; one without size (a loop device without file, an empty reader) is not there."""
    return {facts.name: facts for facts in found if facts.size}


def changes(before: Mapping[str, DeviceFacts], after: Mapping[str, DeviceFacts]) -> list[tuple[Kind, DeviceFacts]]:
    """Return what to tell, in the order of the names; a device that was replaced is removed and added."""
    told: list[tuple[Kind, DeviceFacts]] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is not None and (new is None or old.major_minor != new.major_minor):
            told.append((Kind.REMOVED, old))
            old = None
        if old is None and new is not None:
            told.append((Kind.ADDED, new))
        elif old is not None and new is not None and _look(old) != _look(new):
            told.append((Kind.CHANGED, new))
    return told


def _look(facts: DeviceFacts) -> tuple[object, ...]:
    """What people care about; not the fill level of a file system, nor where it is mounted."""
    return facts.size, facts.read_only, facts.signatures, facts.holders, facts.make
