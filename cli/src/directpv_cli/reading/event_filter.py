"""Which events a command means. Pure."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from directpv_cli.reading.words import Words, expanded
from directpv_common.bus.cloud_event import TYPE_PREFIX, CloudEvent


class EventFilter(NamedTuple):
    """Every one that is given must hold; an empty one always does."""

    nodes: frozenset[str] = frozenset()
    drives: frozenset[str] = frozenset()
    """Ids."""
    volumes: frozenset[str] = frozenset()
    types: tuple[str, ...] = ()
    """Patterns such as ``drive.*`` or ``volume.refused``; ``drive`` alone stands for all of drives."""

    @classmethod
    def of(cls, nodes: Words, drives: Iterable[str], volumes: Words, types: Words) -> "EventFilter":
        """Read the flags.

        Raises:
            ValueError: A range is malformed.
        """
        patterns = tuple(part.strip() for word in types or () for part in word.split(",") if part.strip())
        return cls(frozenset(expanded(nodes)), frozenset(drives), frozenset(volumes or ()), patterns)

    def match(self, event: CloudEvent) -> bool:
        """Tell whether the event is meant."""
        about = {str(event.data.get("node", "")), event.source.rpartition("/")[2]}
        return (
            (not self.nodes or not self.nodes.isdisjoint(about) or event.subject in self.nodes)
            and (not self.drives or event.subject in self.drives or event.data.get("drive") in self.drives)
            and (not self.volumes or event.subject in self.volumes)
            and (not self.types or any(_is(event.type.removeprefix(TYPE_PREFIX), each) for each in self.types))
        )


def _is(kind: str, pattern: str) -> bool:
    return fnmatchcase(kind, pattern) or kind.startswith(f"{pattern}.")
