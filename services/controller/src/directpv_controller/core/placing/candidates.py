"""Per drive everything that keeps it from taking a volume, and the smallest change that would help; for people.

Unlike :mod:`.explain`, which counts first reasons of refusals that come in storms.
"""

from collections.abc import Generator, Iterable, Iterator
from heapq import nsmallest
from itertools import chain, islice
from typing import Final, NamedTuple

from directpv_common.protocol.messages import Candidate, Placement, Segments
from directpv_common.protocol.names import GROUP
from directpv_common.protocol.units import format_bytes
from directpv_controller.core.placing.closed import closed
from directpv_controller.core.placing.company import shares_project
from directpv_controller.core.placing.explain import explain
from directpv_controller.core.placing.model import Drive, label_of
from directpv_controller.core.placing.placement import Index
from directpv_controller.core.placing.reach import Reach
from directpv_controller.core.placing.wanted import Wanted, describe

SHOWN: Final = 20
LOOK_AT_MOST: Final = 20_000
"""Drives that one question looks at."""
SLICE: Final = 500
"""Drives that are looked at before others get their turn: some milliseconds."""
FAR_AT_MOST: Final = 2_000
"""Of these, drives out of reach of a volume that may only be in some places."""


_Place = tuple[bool, int, int, int, str]


class Obstacle(NamedTuple):
    """One filter that a drive fails."""

    why: str
    change: str


def placement_of(
    wanted: Wanted, index: Index, drives: Iterable[Drive], total: int, shown: int
) -> Generator[None, None, Placement]:
    """Return where the volume would go, and what every drive lacks; yield after every slice of drives.

    Args:
        wanted: The volume.
        index: To choose a drive as CreateVolume does.
        drives: All there are, in any order.
        total: How many.
        shown: At most so many candidates.
    """
    chosen = index.select(wanted)
    terms = (*wanted.preferred, *wanted.requisite)
    summary = "" if chosen else explain(wanted, index).text
    seen, reach = list(_looked_at(index, terms, drives)), Reach(terms)
    first: list[tuple[_Place, Drive]] = []
    for begin in range(0, len(seen), SLICE):
        part = ((_order(wanted, drive, reach, chosen), drive) for drive in seen[begin : begin + SLICE])
        first = nsmallest(shown, chain(first, part))
        yield
    return Placement(
        drive=chosen.fsuuid if chosen else "",
        summary=summary,
        candidates=tuple(_candidate(wanted, drive, reach) for _, drive in first),
        more=len(seen) - len(first),
        unseen=max(0, total - len(seen)),
    )


def _looked_at(index: Index, terms: tuple[Segments, ...], drives: Iterable[Drive]) -> Iterator[Drive]:
    """Yield those in reach first, each once."""
    if not terms:
        yield from islice(drives, LOOK_AT_MOST)
        return
    near = {drive.fsuuid: drive for term in terms for drive in islice(index.candidates(term), LOOK_AT_MOST)}
    yield from islice(near.values(), LOOK_AT_MOST)
    yield from islice((drive for drive in drives if drive.fsuuid not in near), FAR_AT_MOST)


def _order(wanted: Wanted, drive: Drive, reach: Reach, chosen: Drive | None) -> _Place:
    """Return the drive's place in the order: unlike that of any other."""
    missing = max(0, wanted.at_least - drive.free)
    return (drive is not chosen, sum(1 for _ in obstacles(wanted, drive, reach)), missing, -drive.free, drive.fsuuid)


def _candidate(wanted: Wanted, drive: Drive, reach: Reach) -> Candidate:
    found = list(obstacles(wanted, drive, reach))
    return Candidate(
        fsuuid=drive.fsuuid,
        node=drive.record.node,
        device=drive.record.device,
        free=drive.free,
        obstacles=tuple(each.why for each in found),
        changes=tuple(each.change for each in found),
    )


def obstacles(wanted: Wanted, drive: Drive, reach: Reach) -> Iterator[Obstacle]:
    """Yield every filter that the drive fails for this volume; none: it could take it."""
    for each in closed(drive):
        yield Obstacle(each.why.format(drive=drive), each.change.format(drive=drive))
    if drive.record not in reach:
        places = ", ".join(filter(None, map(describe, (*wanted.preferred, *wanted.requisite)[:3])))
        yield Obstacle(
            f"it is not where the volume may be ({places})",
            f"let the pod run on {drive.record.node} (its node selector, affinity, taints)",
        )
    yield from _mismatches(wanted, drive)
    if drive.free < wanted.at_least:
        free = format_bytes(drive.free)
        yield Obstacle(
            f"{free} free of {format_bytes(wanted.at_least)} asked",
            f"ask for {free} at most, or free {format_bytes(wanted.at_least - drive.free)} on it",
        )
    elif shares_project(drive, wanted.project):
        yield Obstacle("a volume on it has the same XFS project id", "create the claim anew, for another volume name")


def _mismatches(wanted: Wanted, drive: Drive) -> Iterator[Obstacle]:
    need, record = wanted.need, drive.record
    if need.tier not in (None, record.access_tier):
        yield Obstacle(
            f"its access tier is {record.access_tier}, not {need.tier}",
            f"take a storage class that asks for {record.access_tier}",
        )
    for key, value in sorted(need.labels):
        has = label_of(record, key)
        if has != value:
            short = key.removeprefix(f"{GROUP}/")
            yield Obstacle(
                f"its label {short} is {has}, not {value}" if has else f"it has no label {short}={value}",
                f"kubectl directpv label drives {short}={value} --ids {drive.fsuuid}",
            )
    if need.claim in drive.claims:
        yield Obstacle(
            f"it has a volume of claim id {need.claim} already", "another drive; a claim id has one volume per drive"
        )
