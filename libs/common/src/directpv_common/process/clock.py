"""Timestamps for people and records; deadlines use the loop's monotonic clock instead."""

import time
from functools import lru_cache


def now_rfc3339() -> str:
    """Return the time as ``2026-11-22T10:00:00Z``."""
    return _text(int(time.time()))


@lru_cache(maxsize=2)
def _text(second: int) -> str:
    """Return the text of a second, which is made once."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def now_rfc3339_ms() -> str:
    """Return the time as ``2026-11-22T10:00:00.123Z``."""
    now = time.time()
    return f"{_text(int(now))[:-1]}.{int(now * 1000) % 1000:03d}Z"
