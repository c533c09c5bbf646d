"""What travels with a call from process to process: its deadline and its W3C trace context."""

import asyncio
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from typing import Final

from directpv_common.protocol.errors import DeadlineExceeded

DEADLINE_HEADER: Final = "Directpv-Timeout-Ms"
"""Milliseconds that the caller will still wait; relative, so that clocks need not agree."""
TRACE_HEADER: Final = "traceparent"
_DIGITS_AT_MOST: Final = 12
"""Of a time limit: thirty years; who sends more sends no number."""
_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\Z")


def _hex(bits: int) -> str:
    return f"{random.getrandbits(bits) or 1:0{bits // 4}x}"


@dataclass(frozen=True)
class Trace:
    """One span of a distributed trace. Source: W3C Trace Context, section 3.2."""

    trace_id: str
    span_id: str
    flags: str = "01"

    @classmethod
    def new(cls) -> "Trace":
        """Begin a trace."""
        return cls(_hex(128), _hex(64))

    @classmethod
    def parse(cls, header: str | None) -> "Trace":
        """Continue the trace of ``header``, or begin one when it is missing or malformed (section 3.2.2.4)."""
        match = _TRACEPARENT.match(header or "")
        if match is None or set(match[1]) == {"0"} or set(match[2]) == {"0"}:
            return cls.new()
        return cls(match[1], _hex(64), match[3])

    @property
    def header(self) -> str:
        """Value of ``traceparent``."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
_trace: ContextVar[Trace | None] = ContextVar("trace", default=None)


def trace() -> Trace | None:
    """Return the span that this task works for, if any."""
    return _trace.get()


def remaining(default: float) -> float:
    """Return the seconds that the caller of this task still waits, at most; ``default`` if it set no limit.

    Raises:
        DeadlineExceeded: The time is over; begin no new work.
    """
    deadline = _deadline.get()
    if deadline is None:
        return default
    left = deadline - asyncio.get_running_loop().time()
    if left <= 0:
        raise DeadlineExceeded("the caller's deadline has passed before the work began")
    return left


@contextmanager
def call_context(*, within: float | None, traceparent: str | None) -> Iterator[Trace]:
    """Work for a caller that waits ``within`` seconds (None: for ever) inside the trace ``traceparent``."""
    span = Trace.parse(traceparent)
    deadline = None if within is None else asyncio.get_running_loop().time() + within
    tokens = _deadline.set(deadline), _trace.set(span)
    try:
        yield span
    finally:
        _deadline.reset(tokens[0])
        _trace.reset(tokens[1])


def detached() -> Context:
    """Return a context for work that outlives the call that starts it: without that call's deadline and trace."""
    return Context()


def unhurried() -> Context:
    """Return a context for work that others may join: in the trace of the call that starts it, without its deadline."""
    context = copy_context()
    context.run(_deadline.set, None)
    return context


def headers_for(within: float) -> dict[str, str]:
    """Return the headers of a request whose caller waits ``within`` seconds."""
    span = _trace.get() or Trace.new()
    return {DEADLINE_HEADER: str(max(1, int(within * 1000))), TRACE_HEADER: span.header}


def within_from(headers: dict[str, str] | None) -> float | None:
    """Return the seconds that the sender of ``headers`` waits, or None if it does not say."""
    value = (headers or {}).get(DEADLINE_HEADER, "")
    return int(value) / 1000 if value.isascii() and value.isdigit() and len(value) <= _DIGITS_AT_MOST else None
