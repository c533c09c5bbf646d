"""A spinner per node on a terminal; nothing off one."""

import contextlib
import sys
from collections.abc import Iterator, Sequence

from directpv_cli.session import settings


class Steps:
    """Tells which of several parallel steps ended, and how."""

    def done(self, name: str) -> None:
        """Step ``name`` succeeded."""

    def failed(self, name: str) -> None:
        """Step ``name`` failed."""


class _Live(Steps):
    def __init__(self, title: str, names: Sequence[str]) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self.progress = Progress(
            SpinnerColumn(style="#F7971E", finished_text=" "),
            TextColumn("[yellow]{task.description}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=False,
        )
        self._tasks = {name: self.progress.add_task(f"{title} {name}", total=1) for name in names}
        self._title = title

    def done(self, name: str) -> None:
        self.progress.update(self._tasks[name], completed=1, description=f"{self._title} {name} [green]✔")

    def failed(self, name: str) -> None:
        self.progress.update(self._tasks[name], completed=1, description=f"{self._title} {name} [red]✘")


@contextlib.contextmanager
def steps(title: str, names: Sequence[str]) -> Iterator[Steps]:
    """Show one line per step while the block runs."""
    if settings.quiet or not sys.stderr.isatty():
        yield Steps()
        return
    live = _Live(title, names)
    with live.progress:
        yield live
