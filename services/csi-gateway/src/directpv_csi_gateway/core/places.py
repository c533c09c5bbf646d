"""Where a new volume may be. With Immediate binding the official provisioner names every node, in both lists."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import directpv_common.protocol.messages as m
from directpv_common.calls.turns import Steps
from directpv_csi_gateway.core.checks import mapping, refused
from directpv_csi_gateway.pb import csi_pb2 as pb

TERMS: Final = 10_000
"""Topology terms at most in one list: two per node in a cluster of 5,000."""
SLICE: Final = 100
"""Terms that are read before others have their turn: half a millisecond."""


class Places(NamedTuple):
    """Topology terms, none twice; see :class:`directpv_common.protocol.messages.CreateVolume`."""

    preferred: tuple[m.Segments, ...]
    requisite: tuple[m.Segments, ...]


def read_places(where: pb.TopologyRequirement) -> Steps[Places]:
    """Return all places; yield between slices. What is preferred is not repeated as requisite: it would not fit.

    Raises:
        InvalidRequest: Too many terms, or one that nothing can have; names it.
    """
    seen: set[bytes] = set()
    preferred = yield from _terms("preferred", where.preferred, seen)
    requisite = yield from _terms("requisite", where.requisite, seen)
    return Places(preferred, requisite)


def _terms(name: str, topologies: Iterable[pb.Topology], seen: set[bytes]) -> Steps[tuple[m.Segments, ...]]:
    """Return the segments of each term that was not ``seen``; told apart as bytes, which costs a fifth of a map."""
    field, terms = f"accessibility_requirements.{name}", []
    for index, topology in enumerate(topologies):
        if index >= TERMS:
            raise refused(field, f"more than {TERMS} terms; set allowedTopologies in the storage class")
        term = topology.SerializeToString(deterministic=True)
        if term not in seen:
            seen.add(term)
            terms.append(mapping(f"{field}[{index}].segments", topology.segments))
        if index % SLICE == SLICE - 1:
            yield
    return tuple(terms)
