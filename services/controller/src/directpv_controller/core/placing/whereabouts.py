"""Which drives have a label or lie in a place, so that a view of few drives is made without looking at all of them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from directpv_common.protocol import names
from directpv_common.protocol.messages import DriveRecord, Segments
from directpv_controller.core.placing.model import Drive, Node, labels_of
from directpv_controller.core.placing.wanted import Need, Pairs

Pair = tuple[str, str]

_OF_ALL: Final = frozenset({names.VERSION, names.CREATED_BY})
"""Facts that nearly every drive has in common."""


class Whereabouts:
    """Kept in step by the index; shares the ledger's own dictionaries."""

    def __init__(self, drives: Mapping[str, Drive], nodes: Mapping[str, Node]) -> None:
        self._drives = drives
        self._nodes = nodes
        self._places: dict[Pair, Counter[str]] = {}
        """Per pair of a topology the nodes whose drives have it, each with how many."""
        self._labelled: dict[Pair, dict[str, None]] = {}
        """Per label, or fact that counts as one, the ids of the drives that have it."""

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
        (was_in, had), (is_in, has) = _seen(was), _seen(now)
        for pair, node in was_in - is_in:
            _take(self._places, pair, node)
        for pair, node in is_in - was_in:
            self._places.setdefault(pair, Counter())[node] += 1
        for pair in had - has:
            del self._labelled[pair][drive.fsuuid]
            if not self._labelled[pair]:
                del self._labelled[pair]
        for pair in has - had:
            self._labelled.setdefault(pair, {})[drive.fsuuid] = None

    def candidates(self, need: Need) -> Iterator[Drive]:
        """Return drives that may meet ``need``; all that do are among them. Nothing may change meanwhile."""
        return (self._drives[fsuuid] for ids in self._held(need) for fsuuid in ids)

    def may_reach(self, term: Segments) -> bool:
        """Tell, without looking at drives, whether the node of a term may have one that lies in the term."""
        node, nowhere = term.get(names.NODE), Counter[str]()
        if node is None:
            return True
        return node in self._nodes and all(
            key == names.NODE or node in self._places.get((key, value), nowhere) for key, value in term.items()
        )

    def slowly(self, need: Need) -> Iterator[Drive]:
        """Return the same for who lets others change drives meanwhile: none comes twice, late ones may miss."""
        ids = [fsuuid for held in self._held(need) for fsuuid in held]
        return (self._drives[fsuuid] for fsuuid in ids if fsuuid in self._drives)

    def _held(self, need: Need) -> Iterator[Iterable[str]]:
        node = node_in(need.segments)
        if node:
            return self._on([node])
        labelled = [self._labelled.get(pair, {}) for pair in need.labels if pair[0] not in _OF_ALL]
        few = min(labelled, key=len, default=None)
        places = [self._places.get(pair, Counter()) for pair in need.segments]
        near = min(places, key=len, default=None)
        if few is not None and (near is None or len(few) <= near.total()):
            return iter([few])
        return self._on(near) if near is not None else iter([self._drives])

    def _on(self, nodes: Iterable[str]) -> Iterator[Iterable[str]]:
        return (self._nodes[node].drives for node in nodes if node in self._nodes)


def node_in(term: Pairs) -> str:
    """Return the node that a topology term names; empty if it names none."""
    return next((value for key, value in term if key == names.NODE), "")


def _alike(was: DriveRecord, now: DriveRecord) -> bool:
    return (was.node, was.device, was.labels, was.topology) == (now.node, now.device, now.labels, now.topology)


def _seen(record: DriveRecord | None) -> tuple[set[tuple[Pair, str]], set[Pair]]:
    """Return each pair of the topology with the node, and each label that tells drives apart."""
    if record is None:
        return set(), set()
    labels = {pair for pair in labels_of(record).items() if pair[0] not in _OF_ALL}
    return {(pair, record.node) for pair in record.topology.items()}, labels


def _take(places: dict[Pair, Counter[str]], pair: Pair, node: str) -> None:
    nodes = places[pair]
    nodes[node] -= 1
    if not nodes[node]:
        del nodes[node]
    if not nodes:
        del places[pair]
