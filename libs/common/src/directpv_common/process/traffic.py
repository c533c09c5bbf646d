"""What this process has seen of the bus, counted where it happens; :mod:`.own_metrics` shows it.

Written by the event loop's thread, and only read by others.
"""

from bisect import bisect_left
from collections import Counter
from typing import Final

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of the buckets into which times are put."""
WHYS: Final = ("away", "large", "slow")
"""Why a message is dropped: there is no server, it fits into no message, or we did not read in time."""


class Times:
    """How long something took, each time."""

    def __init__(self) -> None:
        self.buckets = [0] * (len(SECONDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.buckets[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Return bounds and numbers as Prometheus has them: each with all before it."""
        found, so_far = [], 0
        for bound, number in zip((*map(str, SECONDS), "+Inf"), self.buckets, strict=True):
            so_far += number
            found.append((bound, float(so_far)))
        return found


class Traffic:
    """Of one process, over all its connections."""

    def __init__(self) -> None:
        self.reconnects = 0
        self.dropped: Counter[str] = Counter()
        """Messages that nobody got, by why."""
        self.late: Counter[str] = Counter()
        """Requests to which no reply came in time, so that they were sent again or given up, by endpoint."""
        self.requests: dict[str, Times] = {}
        """From a request to its reply, repeats included, by endpoint."""
        self.buffered = 0
        """Events that wait for the stream."""

    def answered(self, endpoint: str, seconds: float) -> None:
        """Count a request that was answered, be it with an error."""
        times = self.requests.get(endpoint)
        if times is None:
            times = self.requests[endpoint] = Times()
        times.add(seconds)


TRAFFIC: Final = Traffic()
