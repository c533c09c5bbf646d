"""Who hears what a verb says: a terminal, or whoever listens in the context that the verb runs in.

The console runs verbs as they are, and puts what they say on its pages: typed, not as printed text.
"""

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from directpv_common.protocol.messages import MoveStatus


class Listener(Protocol):
    """Hears one verb. It may be called from any thread."""

    def said(self, text: str, *, trouble: bool) -> None:
        """A line for people; ``trouble``: something failed."""

    def step(self, title: str, name: str, state: str) -> None:
        """One of several parallel steps is ``running``, ``done`` or ``failed``."""

    def moving(self, status: "MoveStatus") -> None:
        """A move is so far."""

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table of what came of it."""


_LISTENER: Final[ContextVar[Listener | None]] = ContextVar("listener", default=None)


def listener() -> Listener | None:
    """Return who listens; None: what is said is printed."""
    return _LISTENER.get()


@contextlib.contextmanager
def heard_by(each: Listener) -> Iterator[None]:
    """Let ``each`` hear what is said in the block, and in tasks that it starts, instead of printing it."""
    token = _LISTENER.set(each)
    try:
        yield
    finally:
        _LISTENER.reset(token)
