"""What a person sees: a live table on a terminal, a plain line now and then in a log, one table at the end."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

QUIET_SECONDS: Final = 25.0
"""Longest time between two lines of a log, about."""
_LOG_WIDTH: Final = 120


@dataclass(frozen=True)
class Row:
    """A suite, as it stands."""

    name: str
    proves: str
    state: str
    """waiting, running, ok, or what went wrong."""
    done: int = 0
    tests: int = 0
    seconds: float = 0.0
    left: float = 0.0
    """Seconds that it still takes."""


@dataclass(frozen=True)
class Picture:
    """Everything, as it stands."""

    rows: Sequence[Row]
    background: str
    """The step that runs, if one does."""
    seconds: float
    left: float


def clock(seconds: float) -> str:
    """Return minutes and seconds: 7:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


class Show:
    """Use it as a context; :meth:`update` it as often as you like."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            self.console = Console(highlight=False, width=_LOG_WIDTH)
        self._live = Live(console=self.console, auto_refresh=False, transient=True)
        self._last = time.monotonic()

    def __enter__(self) -> "Show":
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, seconds: float, text: str) -> None:
        """Tell of an event; ``seconds`` since the start."""
        self.console.print(f"{clock(seconds):>6}  {text}", markup=False, soft_wrap=True)
        self._last = time.monotonic()

    def update(self, picture: Picture) -> None:
        """Show how it stands: at once on a terminal, from time to time in a log."""
        if self.console.is_terminal:
            self._live.update(_live_table(picture), refresh=True)
        elif time.monotonic() - self._last >= QUIET_SECONDS:
            self.say(picture.seconds, _line(picture))


def _line(picture: Picture) -> str:
    parts = [f"{row.name} {row.done} of {row.tests}" for row in picture.rows if row.state == "running"]
    if picture.background:
        parts.append(picture.background)
    return f"{', '.join(parts)}; {_left(picture)}"


def _left(picture: Picture) -> str:
    return f"about {max(1, round(picture.left / 60))} min left"


def _live_table(picture: Picture) -> Table:
    table = Table(title=f"{clock(picture.seconds)} so far, {_left(picture)}", title_justify="left", expand=False)
    if picture.background:
        table.caption = f"in the background: {picture.background}"
    for column in ("suite", "what it proves"):
        table.add_column(column)
    for column in ("tests", "time", "left"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in picture.rows:
        running = row.state == "running"
        table.add_row(
            row.name,
            row.proves,
            f"{row.done} of {row.tests}" if running else str(row.tests or ""),
            clock(row.seconds) if row.seconds else "",
            clock(row.left) if running else "",
            row.state,
            style="bold" if running else "dim" if row.state == "waiting" else "",
        )
    return table


def final_table(rows: Sequence[Row]) -> Table:
    """Return suite, tests, seconds and result of each."""
    table = Table("suite", "what it proves")
    for column in ("tests", "seconds"):
        table.add_column(column, justify="right")
    table.add_column("result")
    for row in rows:
        table.add_row(row.name, row.proves, str(row.tests), f"{row.seconds:.0f}", row.state)
    return table
