"""Timestamps for people and records; deadlines use the loop's monotonic clock instead."""

from datetime import UTC, datetime


def now_rfc3339() -> str:
    """Return the time as ``2026-11-22T10:00:00Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
