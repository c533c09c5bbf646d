"""What travels with a call from process to process: its deadline and its W3C trace context.

Every call has a span, whether or not somebody records them: logs and events name it. Who records is told by
:func:`record_with`; nothing here knows how.
"""

import asyncio
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from typing import Final, Protocol

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


class Recording(Protocol):
    """One span that is being recorded."""

    @property
    def trace(self) -> Trace:
        """What the span is called."""
        ...

    def end(self, noted: dict[str, str]) -> None:
        """Note that the work has ended; ``noted`` are its attributes, ``error`` among them if it failed."""
        ...


class Recorder(Protocol):
    """Keeps spans for somebody who looks at them later."""

    def begin(self, name: str, traceparent: str | None) -> Recording:
        """Begin a span below ``traceparent``, or a trace if that is missing or malformed."""
        ...


_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
_trace: ContextVar[Trace | None] = ContextVar("trace", default=None)
_noted: ContextVar[dict[str, str] | None] = ContextVar("noted", default=None)
_recorder: Recorder | None = None


def record_with(recorder: Recorder | None) -> None:
    """Have spans that begin from now on recorded, or not any more (None)."""
    global _recorder
    _recorder = recorder


def handed_on() -> str:
    """Return the ``traceparent`` for work that outlives this call and belongs to its trace; empty: nobody records."""
    span = _trace.get()
    return span.header if _recorder is not None and span is not None else ""


def note(**attributes: str) -> None:
    """Say something about the span of this task; ``error`` says why it failed. Seen by who records spans alone."""
    noted = _noted.get()
    if noted is not None:
        noted.update(attributes)


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
def call_context(*, within: float | None, traceparent: str | None, name: str = "") -> Iterator[Trace]:
    """Work for a caller that waits ``within`` seconds (None: for ever) inside the trace ``traceparent``.

    ``name`` is that of the span, in records; without it the span is not recorded.
    """
    deadline = None if within is None else asyncio.get_running_loop().time() + within
    token = _deadline.set(deadline)
    try:
        with _span(name, traceparent) as span:
            yield span
    finally:
        _deadline.reset(token)


@contextmanager
def step(name: str, traceparent: str | None = None) -> Iterator[None]:
    """Record a part of the call by itself, or work that another call ordered: ``traceparent`` is that one's then."""
    if _recorder is None:
        yield
        return
    current = _trace.get()
    with _span(name, traceparent or (current.header if current is not None else None)):
        yield


@contextmanager
def _span(name: str, traceparent: str | None) -> Iterator[Trace]:
    recording = _recorder.begin(name, traceparent) if _recorder is not None and name else None
    span = recording.trace if recording is not None else Trace.parse(traceparent)
    noted: dict[str, str] = {}
    tokens = _trace.set(span), _noted.set(noted)
    try:
        yield span
    except BaseException as error:
        noted.setdefault("error", f"{type(error).__name__}: {error}"[:200])
        raise
    finally:
        _trace.reset(tokens[0])
        _noted.reset(tokens[1])
        if recording is not None:
            recording.end(noted)


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
