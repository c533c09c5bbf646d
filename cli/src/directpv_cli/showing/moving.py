"""How far moves are: a bar per volume on a terminal, a line now and then on a pipe, words in a table."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from time import monotonic

import directpv_common.protocol.messages as m
from directpv_cli.reading.settings import settings
from directpv_cli.showing.terminal.lines import plain, say
from directpv_cli.showing.terminal.listening import Listener, listener
from directpv_common.protocol.units import format_bytes

LINE_SECONDS = 30.0
SAID = frozenset({m.MoveState.COPYING, m.MoveState.LAST_PASS})
"""States of which it is said how far they are."""
WAITS_FOR = "its pod to be restarted, or whatever uses the volume to end: then the last pass begins"
"""What a move in state Waiting waits for."""


def remaining(status: m.MoveStatus) -> str:
    """Return how long the current pass takes yet, in words; empty if that is not known.

    >>> remaining(m.MoveStatus(name="v", done=100, total=7300, rate=2))
    '1h0m'
    """
    if not status.rate or status.done >= status.total:
        return ""
    seconds = (status.total - status.done) // status.rate
    if seconds < 60:
        return f"{seconds}s"
    return f"{seconds // 60}m{seconds % 60}s" if seconds < 3600 else f"{seconds // 3600}h{seconds % 3600 // 60}m"


def words(status: m.MoveStatus) -> tuple[str, str, str]:
    """Return how much is copied, how fast, and how long it takes yet."""
    copied = f"{format_bytes(status.done)} of {format_bytes(status.total)}" if status.total else ""
    return copied, f"{format_bytes(status.rate)}/s" if status.rate else "", remaining(status)


def row(status: m.MoveStatus) -> list[str]:
    """Return the cells of one move."""
    ends = [status.source[:8], status.target[:8]]
    message = status.message or (f"waits for {WAITS_FOR}" if status.state is m.MoveState.WAITING else "")
    return [status.name, status.node, *ends, str(status.state), *words(status), message]


class Bars:
    """Shows moves; nothing of them, if this is all."""

    def update(self, status: m.MoveStatus) -> None:
        """One is so far."""

    def end(self, name: str, *, good: bool) -> None:
        """One has ended."""

    def message(self, text: str) -> None:
        """Something is to be said of all."""


class _Heard(Bars):
    def __init__(self, hearing: Listener) -> None:
        self._hearing = hearing

    def update(self, status: m.MoveStatus) -> None:
        self._hearing.moving(status)

    def end(self, name: str, *, good: bool) -> None:
        self._hearing.step("Moving", name, "done" if good else "failed")

    def message(self, text: str) -> None:
        self._hearing.said(text, trouble=False)


class _Live(Bars):
    def __init__(self, names: Sequence[str]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("[yellow]{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
        self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._tasks = {name: self.progress.add_task(name, total=None, said="") for name in names}

    def update(self, status: m.MoveStatus) -> None:
        said = "  ".join(filter(None, (str(status.state), *words(status))))
        total = status.total or None
        self.progress.update(self._tasks[status.name], total=total, completed=status.done, said=said)

    def end(self, name: str, *, good: bool) -> None:
        self.progress.update(self._tasks[name], total=1, completed=1, said="[green]✔" if good else "[red]✘")

    def message(self, text: str) -> None:
        say(f"[yellow]{plain(text)}[/yellow]")


class _Lines(Bars):
    """A line now and then, and when a state changes: for files and pipes, in which nothing can be moved."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._said: dict[str, tuple[str, float]] = {}

    def update(self, status: m.MoveStatus) -> None:
        state, now = str(status.state), self._clock()
        before, when = self._said.get(status.name, ("", -LINE_SECONDS))
        copied, rate, left = words(status)
        if (state == before and now - when < LINE_SECONDS) or not copied or status.state not in SAID:
            return
        self._said[status.name] = state, now
        how = ", ".join(filter(None, (copied, rate, f"{left} left" * bool(left))))
        say(f"Volume {plain(status.name)}: {state}, {how}")


@contextlib.contextmanager
def bars(names: Sequence[str]) -> Iterator[Bars]:
    """Show one bar per move while the block runs."""
    if (hearing := listener()) is not None:
        yield _Heard(hearing)
        return
    if settings.quiet or not names or not sys.stderr.isatty():
        yield _Lines() if names else Bars()
        return
    live = _Live(names)
    with live.progress:
        yield live
