"""How long ago something was, as kubectl says it."""

import time
from datetime import UTC, datetime


def age_text(seconds: float) -> str:
    """Return an age in at most two units. Source: Kubernetes, ``duration.HumanDuration``.

    >>> [age_text(each) for each in (5, 119, 130, 600, 8 * 3600, 50 * 3600, 400 * 86400, 9 * 365 * 86400)]
    ['5s', '119s', '2m10s', '10m', '8h', '2d2h', '400d', '9y']
    """
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    return f"{days // 365}y"


def _two(first: int, unit: str, second: int, smaller: str) -> str:
    return f"{first}{unit}{second}{smaller}" if second else f"{first}{unit}"


def age_of(timestamp: str, now: float | None = None) -> str:
    """Return the age of an RFC 3339 time; nothing if it is none."""
    seconds = seconds_of(timestamp)
    return "" if seconds is None else age_text((time.time() if now is None else now) - seconds)


def seconds_of(timestamp: str) -> float | None:
    """Return an RFC 3339 time as seconds since 1970; None if it is none."""
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
