"""How busy a drive is, from two samples of it. Pure."""

from datetime import datetime
from typing import NamedTuple

import directpv_common.protocol.messages as m

Sample = tuple[datetime, m.DriveMetrics]


class Rates(NamedTuple):
    """Load between two samples."""

    read: float = 0.0
    """Bytes per second."""
    write: float = 0.0
    busy: float = 0.0
    """Share of the time in which requests were under way, as far as their own times tell; at most 1."""
    queue: float = 0.0
    """How many requests were queued or served in the mean."""
    latency: float | None = None
    """Seconds that a request took; None: there was none, or the agent does not count them."""


def rates(before: Sample, now: Sample) -> Rates:
    """Return the load between two samples; counters that began anew count as nothing."""
    (start, old), (end, new) = before, now
    seconds = max((end - start).total_seconds(), 0.001)
    took = max(0.0, new.read_seconds + new.write_seconds - old.read_seconds - old.write_seconds)
    requests = new.reads + new.writes - old.reads - old.writes
    return Rates(
        max(0, new.read_bytes - old.read_bytes) / seconds,
        max(0, new.write_bytes - old.write_bytes) / seconds,
        min(1.0, took / seconds),
        max(0.0, new.wait_seconds - old.wait_seconds) / seconds,
        took / requests if requests > 0 else None,
    )
