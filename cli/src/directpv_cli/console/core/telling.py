"""Events as rows: which of them are asked for, and what is said of each."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

from directpv_cli.reading.event_filter import EventFilter
from directpv_cli.showing.ages import seconds_of
from directpv_cli.showing.event_lines import cause_of, node_of, type_of
from directpv_common.bus.cloud_event import CloudEvent
from directpv_common.protocol.kinds import KINDS

SHOWN: Final = 200
"""Events on a page, the newest first."""
SPANS: Final[Mapping[str, timedelta]] = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
}
"""How far back one may look."""
REPLAYED: Final = "7d"
"""Read from the stream when somebody asks; the others are remembered by the console."""
BAD: Final = frozenset({"lost", "error", "conflict", "failed", "offline", "missing", "refused", "media-errors"})
FAIR: Final = frozenset({"warning", "unmounted", "cordoned", "overcommitted", "held", "evaded"})


class Wanted(NamedTuple):
    """What is asked for."""

    span: str = "1h"
    kind: str = ""
    """A pattern such as ``drive``, ``drive.lost`` or ``volume.*``."""
    text: str = ""

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "Wanted":
        """Read the address; what cannot be understood counts as not given."""
        span = parameters.get("since", "")
        return cls(
            span if span in SPANS else "1h",
            parameters.get("type", "").strip()[:100],
            parameters.get("q", "").strip()[:100],
        )

    def begin(self, now: datetime) -> datetime:
        """Return from when on."""
        return now - SPANS[self.span]

    def match(self, event: CloudEvent) -> bool:
        """Tell whether the event is asked for."""
        if not EventFilter(types=(self.kind,) if self.kind else ()).match(event):
            return False
        words = self.text.lower().split()
        said = " ".join(row(event)).lower() if words else ""
        return all(word in said for word in words)


class Row(NamedTuple):
    """One event in words."""

    time: str
    node: str
    type: str
    subject: str
    said: str

    @property
    def noun(self) -> str:
        """What it is about: ``drive``, ``volume``, ``node``, ``device`` or ``leader``."""
        return self.type.partition(".")[0]

    @property
    def tone(self) -> str:
        """How bad it is: ``bad``, ``fair`` or ``none``."""
        words = {self.type.partition(".")[2], *self.type.partition(".")[2].split("-")}
        return "bad" if words & BAD else "fair" if words & FAIR else "none"

    @property
    def meaning(self) -> str:
        """When such an event is told; empty for a kind that this version does not know."""
        return KINDS.get(self.type, "")


def row(event: CloudEvent) -> Row:
    """Return an event in the words of ``kubectl directpv events``."""
    return Row(event.time, node_of(event), type_of(event), event.subject, cause_of(event))


def moment(time: str) -> str:
    """Return when an event was told, to the second, with its time zone.

    >>> moment("2026-12-01T04:05:06.789Z"), moment("2026-12-01T05:05:06+01:00"), moment("yesterday")
    ('2026-12-01 04:05:06 UTC', '2026-12-01 04:05:06 UTC', 'yesterday')
    """
    seconds = seconds_of(time)
    return time if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def newest(events: Sequence[CloudEvent], wanted: Wanted, now: datetime) -> list[Row]:
    """Return the rows that are asked for, the newest first."""
    begin = wanted.begin(now)
    found = (event for event in reversed(events) if _time(event) >= begin and wanted.match(event))
    return list(map(row, islice(found, SHOWN)))


def about(events: Sequence[CloudEvent], keep: EventFilter, count: int = 20) -> list[CloudEvent]:
    """Return the last events about something, oldest first."""
    return list(islice((event for event in reversed(events) if keep.match(event)), count))[::-1]


def _time(event: CloudEvent) -> datetime:
    try:
        moment = datetime.fromisoformat(event.time)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def kinds() -> Iterable[str]:
    """Return every type that there is, and the nouns."""
    nouns = dict.fromkeys(kind.partition(".")[0] for kind in KINDS)
    return [*nouns, *KINDS]
