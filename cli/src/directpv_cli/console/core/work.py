"""What a verb says while it runs, kept for the page that shows it."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

import directpv_common.protocol.messages as m
from directpv_cli.console.core.actions import Asked, Table

T = TypeVar("T")

KEPT: Final = 100
"""Plans, and work that has ended."""
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
    cut_off: bool = False
    """Whether the way to the cluster was lost while it ran: what became of it is not known here."""

    @property
    def state(self) -> str:
        """In a word."""
        if self.status is None:
            return "running"
        return "not followed any more" if self.cut_off else "failed" if self.status else "done"

    @property
    def tone(self) -> str:
        """Class of the style sheet."""
        return {"failed": "bad", "done": "good"}.get(self.state, "fair")

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


def keep(kept: "OrderedDict[str, T]", key: str, value: T) -> None:
    """Keep the last of many; work that has not ended is not forgotten."""
    kept[key] = value
    ended = [old for old, each in kept.items() if not (isinstance(each, Work) and each.status is None)]
    for old in ended[: max(0, len(kept) - KEPT)]:
        del kept[old]
