"""Whether a disk answers slowly, from its I/O counters. Decides, and does nothing."""

from dataclasses import dataclass
from typing import Final

from directpv_nodeagent.devices.core.io_stats import IoStats

SLOW_SECONDS: Final = 1.0
"""Mean time of a request above which a disk is slow; a disk of rotating rust under load stays well below."""
STUCK_SECONDS: Final = 5.0
"""How long no request may end while some are in flight; half of what a spun-down disk needs to answer."""
FINE_SECONDS: Final = 0.5
"""Mean time below which a slow disk is well again: less, so that it does not swing to and fro."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What was seen of a disk until now."""

    stats: IoStats | None = None
    seconds: float = 0.0
    """Monotonic time of ``stats``."""
    stuck_since: float | None = None
    """Since when requests are in flight and none has ended."""
    slow: str = ""
    """In words, while it is slow."""


def judged(before: Pace, stats: IoStats | None, now: float) -> Pace:
    """Return what is known after another sample.

    Args:
        before: What was known.
        stats: Counters now; None if the device is gone, or did not answer.
        now: Monotonic seconds.
    """
    last = before.stats
    if stats is None or last is None or stats.reads < last.reads or stats.writes < last.writes:
        return Pace(stats, now)
    ended = stats.reads - last.reads + stats.writes - last.writes
    if ended:
        mean = (stats.read_ms - last.read_ms + stats.write_ms - last.write_ms) / 1000 / ended
        limit = FINE_SECONDS if before.slow else SLOW_SECONDS
        return Pace(stats, now, None, f"requests take {mean:.1f} s" if mean >= limit else "")
    if not stats.in_flight:
        return Pace(stats, now, None, before.slow)
    since = before.stuck_since if before.stuck_since is not None else before.seconds
    stuck = now - since >= STUCK_SECONDS
    return Pace(stats, now, since, _stuck(stats.in_flight) if stuck else before.slow)


def _stuck(in_flight: int) -> str:
    return f"{in_flight} {'request does' if in_flight == 1 else 'requests do'} not end"
