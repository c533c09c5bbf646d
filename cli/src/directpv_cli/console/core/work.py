"""What a verb says while it runs, kept for the page that shows it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import directpv_common.protocol.messages as m
from directpv_cli.console.core.actions import Asked, Table

LINES: Final = 2_000
"""Lines that are kept of one verb, the last."""


class Line(NamedTuple):
    """One line for people."""

    text: str
    trouble: bool


@dataclass
class Work:
    """One verb that runs, or has ended."""

    id: str
    asked: Asked
    begun: float
    """Seconds of the console's clock."""
    lines: list[Line] = field(default_factory=list)
    steps: dict[str, str] = field(default_factory=dict)
    """Each parallel step, by its name: ``running``, ``done`` or ``failed``."""
    moves: dict[str, m.MoveStatus] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    ended: float = 0.0
    status: int | None = None
    """Exit status of the verb; None: it runs."""

    @property
    def state(self) -> str:
        """In a word."""
        return "running" if self.status is None else "failed" if self.status else "done"

    @property
    def tone(self) -> str:
        """Class of the style sheet."""
        return {"running": "fair", "failed": "bad", "done": "good"}[self.state]

    # ---- as a listener of the verb

    def said(self, text: str, *, trouble: bool) -> None:
        """Note a line."""
        self.lines.append(Line(text, trouble))
        del self.lines[:-LINES]

    def step(self, title: str, name: str, state: str) -> None:
        """Note how far a step is."""
        self.steps[f"{title} {name}"] = state

    def moving(self, status: m.MoveStatus) -> None:
        """Note how far a move is."""
        self.moves[status.name] = status

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Note a table."""
        self.tables.append((titles, rows))
