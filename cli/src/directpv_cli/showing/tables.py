"""Rich tables on standard output; an empty cell is shown as ``-``."""

from collections.abc import Iterable, Sequence
from typing import Final

from directpv_common.protocol.units import format_bytes

WIDEST: Final = 10_000
"""Characters per line off a terminal: nothing is ever cut there."""


def show(columns: Sequence[str], rows: Iterable[Sequence[str]], *, headers: bool = True) -> None:
    """Print ``rows`` under ``columns``; on a pipe the table is as wide as it must be, without colours."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.ROUNDED if headers else None, show_header=headers, header_style="bold", pad_edge=headers)
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(cell or "-" for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        wide = Console(width=WIDEST)
        console = Console(highlight=False, width=wide.measure(table).maximum + 1)
    console.print(table)


def size(value: int) -> str:
    """Return ``value`` bytes for a cell; zero is empty, as upstream shows it."""
    return format_bytes(value) if value else ""
