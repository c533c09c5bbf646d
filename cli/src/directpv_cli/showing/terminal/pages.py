"""Pages about one object: names and values below each other, as ``kubectl describe`` has them."""

import sys
from collections.abc import Iterable, Sequence

from directpv_cli.showing.terminal import screen
from directpv_cli.showing.terminal.cells import state_colour
from directpv_cli.showing.terminal.text import clean
from directpv_cli.showing.terminal.typed import typeable

STATES = frozenset({"Status", "Online", "Health"})
"""Names whose values have the colours of states."""


def show(lines: Sequence[tuple[str, str]]) -> None:
    """Print lines; a name that is empty goes on with the value above, an empty value is ``-``."""
    text(lines_of(lines, colours=screen.coloured(sys.stdout)))


def lines_of(lines: Sequence[tuple[str, str]], *, colours: bool) -> list[str]:
    """Return the lines with their values side by side."""
    widest = max((len(name) for name, _ in lines), default=0) + 1
    found = []
    for name, text in lines:
        value = clean(text) or "-"
        colour = state_colour(value.partition(" ")[0]) if colours and name in STATES else ""
        title = f"{name}:" if name else ""
        found.append(f"{title:<{widest}}  {screen.paint(value, colour) if colour else value}")
    return found


def headline(text: str) -> None:
    """Print the title of what follows."""
    title = clean(text)
    sys.stdout.write(f"\n{screen.paint(title, 'bold') if screen.coloured(sys.stdout) else title}\n")
    sys.stdout.flush()


def text(lines: Iterable[str]) -> None:
    """Print lines as they are, but for commands, which can be typed here."""
    sys.stdout.write(typeable("".join(f"{line}\n" for line in lines)))
    sys.stdout.flush()
