"""Whether a drive lies where a volume may be. Source: CSI, TopologyRequirement: terms are alternatives."""

from collections.abc import Iterable, Sequence

from directpv_common.protocol import names
from directpv_common.protocol.messages import DriveRecord, Segments


def in_reach(record: DriveRecord, segments: Iterable[tuple[str, str]]) -> bool:
    """Tell whether the drive lies in one topology term, given as pairs."""
    topology = record.topology
    for key, value in segments:  # noqa: SIM110 - a generator takes twice as long, and a new view looks at thousands
        if value != (record.node if key == names.NODE else topology.get(key)):
            return False
    return True


class Reach:
    """Tells it of many drives and many terms: with Immediate binding, all nodes of the cluster are named."""

    def __init__(self, terms: Sequence[Segments]) -> None:
        self._anywhere = not terms
        self._named: dict[str, list[Segments]] = {}
        self._others: list[Segments] = []
        for term in terms:
            node = term.get(names.NODE)
            (self._others if node is None else self._named.setdefault(node, [])).append(term)

    def __contains__(self, record: DriveRecord) -> bool:
        """Tell whether the drive lies in any of the terms; without terms, every drive does."""
        near = (*self._named.get(record.node, ()), *self._others)
        return self._anywhere or any(in_reach(record, term.items()) for term in near)
