"""Which nodes and drives people mean: a word is a node's name, or how a drive is called."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import directpv_common.protocol.messages as m
from directpv_cli.recovering.core.drives import Found
from directpv_common.protocol.errors import InvalidRequest, NotFound


class Targets(NamedTuple):
    """Nodes by name and drives by id; none of both: everything."""

    nodes: frozenset[str] = frozenset()
    drives: frozenset[str] = frozenset()

    def has(self, node: str, fsuuid: str) -> bool:
        """Tell whether a drive of a node is meant."""
        return not (self.nodes or self.drives) or node in self.nodes or fsuuid in self.drives


def targets(
    words: Sequence[str], nodes: Collection[str], found: Iterable[Found], registered: Iterable[m.DriveRecord]
) -> Targets:
    """Return what ``words`` mean.

    Raises:
        NotFound: A word means no node and no drive; names it.
        InvalidRequest: It means several drives.
    """
    drives: dict[str, tuple[str, ...]] = {each.drive.fsuuid: (f"{each.node}/{each.drive.device}",) for each in found}
    for record in registered:
        drives[record.fsuuid] = (*drives.get(record.fsuuid, ()), f"{record.node}/{record.device}")
    called = frozenset(word for word in words if word in nodes)
    return Targets(called, frozenset(_drive(word, drives) for word in words if word not in called))


def _drive(word: str, drives: dict[str, tuple[str, ...]]) -> str:
    meant = [fsuuid for fsuuid, titles in drives.items() if fsuuid.startswith(word) or word in titles]
    if not meant:
        raise NotFound(f"{word!r} is no node that is known, and no drive on one; `kubectl directpv info` lists nodes")
    if len(meant) > 1:
        raise InvalidRequest(f"{word!r} means {len(meant)} drives: {', '.join(sorted(meant)[:5])}; write more of it")
    return meant[0]
