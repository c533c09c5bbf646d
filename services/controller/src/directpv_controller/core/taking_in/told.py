"""What was told of a node's drives and still stands: every inventory finds it again, and it is told once per change."""

from collections.abc import Container
from typing import Any, Final

from directpv_controller.core.taking_in.outcome import Event

_STANDS: Final = frozenset(
    {
        ("drive", "conflict"),
        ("drive", "overcommitted"),
        ("volume", "conflict"),
        ("volume", "oversized"),
        ("volume", "not-reconciled"),
    }
)
"""Findings, which stay until people act; all other events tell of something that was done."""
_PASSING: Final = frozenset({"free", "allocated"})
"""Facts that change by themselves, and make no news of what was told."""
_Key = tuple[str, str, str]


class Told:
    """Of all drives of one node."""

    def __init__(self) -> None:
        self._standing: dict[str, dict[_Key, dict[str, Any]]] = {}

    def news(self, fsuuid: str, events: list[Event], found: dict[_Key, dict[str, Any]], *, whole: bool) -> list[Event]:
        """Return the events of one part of a drive's inventory that were not told yet.

        Args:
            fsuuid: The drive.
            events: What taking in the part gave.
            found: What stands according to all parts so far; what this part says is added.
            whole: Whether that is all: what was told before and is not found again has ended.
        """
        before = self._standing.get(fsuuid, {})
        fresh = []
        for event in events:
            key, facts = event[:3], {name: fact for name, fact in event.data.items() if name not in _PASSING}
            stands = key[:2] in _STANDS
            if not stands or before.get(key) != facts:
                fresh.append(event)
            if stands:
                found[key] = facts
        self._remember(fsuuid, found if whole else {**before, **found})
        return fresh

    def _remember(self, fsuuid: str, standing: dict[_Key, dict[str, Any]]) -> None:
        if standing:
            self._standing[fsuuid] = standing
        else:
            self._standing.pop(fsuuid, None)

    def forget(self, fsuuid: str) -> None:
        """What was to be told was not: it is told when it is found again."""
        self._standing.pop(fsuuid, None)

    def keep(self, fsuuids: Container[str]) -> None:
        """Forget all drives but these."""
        self._standing = {fsuuid: standing for fsuuid, standing in self._standing.items() if fsuuid in fsuuids}
