"""Tables on standard output: framed on a terminal, plain on a pipe; an empty cell is shown as ``-``."""

import sys
from collections.abc import Iterable, Sequence

from directpv_cli.showing.terminal import grid, screen
from directpv_cli.showing.terminal.cells import Column, Tinted, tint
from directpv_cli.showing.terminal.listening import listener
from directpv_cli.showing.terminal.text import clean
from directpv_cli.showing.terminal.typed import typeable
from directpv_common.protocol.units import format_bytes


def show(columns: Sequence[str | Column], rows: Iterable[Sequence[str]], *, headers: bool = True) -> None:
    """Print ``rows`` under ``columns``; what becomes of them on short lines is in :mod:`.grid`.

    Cells are texts, which are shown as they are, or :class:`.cells.Tinted`.
    """
    if (hearing := listener()) is not None:
        titles = [column if isinstance(column, str) else column.title for column in columns]
        hearing.table(titles, [list(map(str, row)) for row in rows])
        return
    heads = [Column(column) if isinstance(column, str) else column for column in columns]
    cells = [list(map(_cell, row)) for row in rows]
    if not (headers and screen.bordered()):
        lines = grid.plain(heads, cells, headers=headers)
    else:
        frame = grid.ROUND if screen.says_unicode(sys.stdout) else grid.ASCII
        paint = screen.paint if screen.coloured(sys.stdout) else screen.unpainted
        lines = grid.framed(heads, cells, room=screen.columns(), frame=frame, paint=paint)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _cell(text: str) -> str:
    safe = typeable(clean(text)) or "-"
    return tint(safe, text.colour) if isinstance(text, Tinted) else safe


def size(value: int) -> str:
    """Return ``value`` bytes for a cell; zero is empty, as upstream shows it."""
    return format_bytes(value) if value else ""
