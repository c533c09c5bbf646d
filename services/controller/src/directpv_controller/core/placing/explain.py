"""Why no drive can hold a volume, in words, per group of candidates."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from directpv_common.protocol import names
from directpv_common.protocol.counts import counted
from directpv_common.protocol.messages import Segments
from directpv_common.protocol.units import format_bytes
from directpv_controller.core.placing.closed import CLOSED_REASONS, first_reason
from directpv_controller.core.placing.model import Drive, label_of
from directpv_controller.core.placing.placement import Index
from directpv_controller.core.placing.reach import in_reach
from directpv_controller.core.placing.wanted import Need, Wanted, describe, describe_size

LOOK_AT_MOST: Final = 20
"""Drives that one refusal looks at, over all groups: for refusals come in storms."""
GROUPS_AT_MOST: Final = 8
NO_DRIVES: Final = "NoDrives"
TOO_SMALL: Final = "TooSmall"
_Why = tuple[str, str]
"""A reason in one word, and in words for people."""
_SAME_PROJECT: Final[_Why] = ("ProjectId", "with a volume of the same XFS project id")


REASONS: Final = (
    NO_DRIVES,
    TOO_SMALL,
    *CLOSED_REASONS,
    "AccessTier",
    "Label",
    "Claim",
    "ProjectId",
)
"""All reasons: metrics show each from the beginning, so that the first refusal is an increase."""


class Refusal(NamedTuple):
    """Why there is no drive for a volume."""

    text: str
    reason: str
    """What holds for most of the drives that were looked at: one word of CamelCase, for metrics."""


def explain(wanted: Wanted, index: Index) -> Refusal:
    """Say why :meth:`Index.select` found nothing.

    For instance: ``no drive can hold volume pvc-1 (8 GiB): 4 drives on worker01: 2 cordoned, 1 has 3.2 GiB free of
    8 GiB asked, 1 lost``. One group per topology term; twenty drives are looked at, and it says when there
    are more.
    """
    terms = (*wanted.preferred, *wanted.requisite) or ({},)
    shown = terms[:GROUPS_AT_MOST]
    found: Counter[str] = Counter()
    groups = [_group(wanted, term, index, LOOK_AT_MOST // len(shown), found) for term in shown]
    more = f"; and {len(terms) - len(shown)} more places" if len(terms) > len(shown) else ""
    asked = describe_size(wanted)
    text = f"no drive can hold volume {wanted.name} ({asked}): {'; '.join(groups)}{more}"
    return Refusal(text, found.most_common(1)[0][0] if found else NO_DRIVES)


def _group(wanted: Wanted, term: Segments, index: Index, most: int, found: Counter[str]) -> str:
    place = f" on {describe(term)}" if term else ""
    looked_at = list(islice(index.candidates(term), most + 1))
    seen = [drive for drive in looked_at[:most] if not term or in_reach(drive.record, term.items())]
    if not seen:
        return f"no drives{place}"
    head = f"{counted(len(seen), 'drive')}{place}"
    if len(looked_at) <= most:
        return f"{head}: {', '.join(_reasons(wanted, seen, found))}"
    return f"the first {head}: {', '.join(_reasons(wanted, seen, found))}; {_of_all(wanted, term, index)}"


def _of_all(wanted: Wanted, term: Segments, index: Index) -> str:
    if names.NODE in term:
        return "there are more"
    largest = index.largest(wanted, term)
    return (
        f"of all that are open and fit otherwise, none has more than {format_bytes(largest)} free"
        if largest
        else ("no other is open and fits")
    )


def _reasons(wanted: Wanted, drives: list[Drive], found: Counter[str]) -> Iterator[str]:
    """Yield one clause per reason, the most frequent first; too small comes with the largest free space seen.

    Reasons are counted in ``found``.
    """
    counts: Counter[str] = Counter()
    small: list[int] = []
    need, at_least = wanted.need, wanted.at_least
    picky = bool(need.tier or need.labels or need.claim)
    for drive in drives:
        why = None if drive.open else first_reason(drive)
        if why is None and picky:
            why = _mismatch(need, drive)
        if why is None and (free := drive.free) < at_least:
            small.append(free)
            found[TOO_SMALL] += 1
        else:  # select() would have taken it, but for one thing
            reason, words = why or _SAME_PROJECT
            counts[words] += 1
            found[reason] += 1
    yield from (f"{count} {reason}" for reason, count in counts.most_common())
    if small:
        verb = "has" if len(small) == 1 else "have at most"
        yield f"{len(small)} {verb} {format_bytes(max(small))} free of {describe_size(wanted)} asked"


def _mismatch(need: Need, drive: Drive) -> _Why | None:
    record = drive.record
    if need.tier not in (None, record.access_tier):
        return "AccessTier", f"not of access tier {need.tier}"
    for key, value in sorted(need.labels):
        if label_of(record, key) != value:
            return "Label", f"without label {key}={value}"
    return ("Claim", f"with a volume of claim {need.claim} already") if need.claim in drive.claims else None
