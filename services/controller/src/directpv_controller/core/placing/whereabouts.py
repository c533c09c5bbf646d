"""Which drives have a label or lie in a place, so that a view of few drives is made without looking at all of them."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from directpv_common.protocol import names
from directpv_common.protocol.messages import DriveRecord, Segments
from directpv_controller.core.placing.model import Drive, Node
from directpv_controller.core.placing.wanted import Need, Pairs

Pair = tuple[str, str]

_OF_ALL: Final = frozenset({names.VERSION, names.CREATED_BY})
"""Facts that nearly every drive has in common."""


class Whereabouts:
    """Kept in step by the index; shares the ledger's own dictionaries."""

    def __init__(self, drives: Mapping[str, Drive], nodes: Mapping[str, Node]) -> None:
        self._drives = drives
        self._nodes = nodes
        self._places: dict[Pair, dict[str, int]] = {}
        """Per pair of a topology the nodes whose drives have it, each with how many."""
        self._labelled: dict[Pair, dict[str, int]] = {}
        """Per label, or fact that counts as one, the ids of the drives that have it; of nodes the ledger knows that."""

    def follow(self, drive: Drive) -> None:
        """Note where the drive is now, and what labels it has."""
        self._note(drive, drive.record)

    def forget(self, drive: Drive) -> None:
        """Forget a drive."""
        self._note(drive, None)

    def _note(self, drive: Drive, now: DriveRecord | None) -> None:
        was, drive.noted = drive.noted, now
        if was is now or (was is not None and now is not None and _alike(was, now)):
            return
        if was is not None:
            for pair in was.topology.items():
                _take(self._places, pair, was.node)
            for pair in _labels(was):
                _take(self._labelled, pair, was.fsuuid)
        if now is not None:
            for pair in now.topology.items():
                _put(self._places, pair, now.node)
            for pair in _labels(now):
                _put(self._labelled, pair, now.fsuuid)

    def candidates(self, need: Need) -> Iterator[Drive]:
        """Return drives that may meet ``need``; all that do are among them. Nothing may change meanwhile."""
        return (self._drives[fsuuid] for ids in self._held(need) for fsuuid in ids)

    def may_reach(self, term: Segments) -> bool:
        """Tell, without looking at drives, whether the node of a term may have one that lies in the term."""
        node = term.get(names.NODE)
        if node is None:
            return True
        return node in self._nodes and all(
            key == names.NODE or node in self._places.get((key, value), ()) for key, value in term.items()
        )

    def slowly(self, need: Need) -> Iterator[Drive]:
        """Return the same for who lets others change drives meanwhile: none comes twice, late ones may miss."""
        ids = [fsuuid for held in self._held(need) for fsuuid in held]
        return (self._drives[fsuuid] for fsuuid in ids if fsuuid in self._drives)

    def _held(self, need: Need) -> Iterator[Iterable[str]]:
        node = node_in(need.segments)
        if node:
            return self._on([node])
        labelled = [self._having(pair) for pair in need.labels if pair[0] not in _OF_ALL]
        few = min(labelled, key=len, default=None)
        places = [self._places.get(pair, {}) for pair in need.segments]
        near = min(places, key=len, default=None)
        if few is not None and (near is None or len(few) <= sum(near.values())):
            return iter([few])
        return self._on(near) if near is not None else iter([self._drives])

    def _having(self, pair: Pair) -> Collection[str]:
        """Return the drives that have a label, or are on the node that it names; the others of it do not."""
        had = self._labelled.get(pair, {})
        node = self._nodes.get(pair[1]) if pair[0] == names.NODE else None
        return had if node is None else {**had, **dict.fromkeys(node.drives, 0)}

    def _on(self, nodes: Iterable[str]) -> Iterator[Iterable[str]]:
        return (self._nodes[node].drives for node in nodes if node in self._nodes)


def node_in(term: Pairs) -> str:
    """Return the node that a topology term names; empty if it names none."""
    return next((value for key, value in term if key == names.NODE), "")


def _alike(was: DriveRecord, now: DriveRecord) -> bool:
    return (was.node, was.device, was.labels, was.topology) == (now.node, now.device, now.labels, now.topology)


def _labels(record: DriveRecord) -> list[Pair]:
    """Return what tells drives apart, but for the fact of their node."""
    found = {names.DRIVE_NAME: record.device, **record.labels}
    return [pair for pair in found.items() if pair[0] not in _OF_ALL]


def _put(table: dict[Pair, dict[str, int]], pair: Pair, who: str) -> None:
    those = table.get(pair)
    if those is None:
        table[pair] = {who: 1}
    else:
        those[who] = those.get(who, 0) + 1


def _take(table: dict[Pair, dict[str, int]], pair: Pair, who: str) -> None:
    those = table[pair]
    those[who] -= 1
    if not those[who]:
        del those[who]
    if not those:
        del table[pair]
