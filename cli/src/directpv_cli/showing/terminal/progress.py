"""A spinner per node on a terminal; nothing off one."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

from directpv_cli.reading.settings import settings
from directpv_cli.showing.terminal.listening import Listener, listener


class Steps:
    """Tells which of several parallel steps ended, and how."""

    def done(self, name: str) -> None:
        """Step ``name`` succeeded."""

    def failed(self, name: str) -> None:
        """Step ``name`` failed."""


class _Heard(Steps):
    def __init__(self, title: str, names: Sequence[str], hearing: Listener) -> None:
        self._title, self._hearing = title, hearing
        for name in names:
            hearing.step(title, name, "running")

    def done(self, name: str) -> None:
        self._hearing.step(self._title, name, "done")

    def failed(self, name: str) -> None:
        self._hearing.step(self._title, name, "failed")


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
    if (hearing := listener()) is not None:
        yield _Heard(title, names, hearing)
        return
    if settings.quiet or not sys.stderr.isatty():
        yield Steps()
        return
    live = _Live(title, names)
    with live.progress:
        yield live


@contextlib.contextmanager
def bar(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """Show a bar of ``total`` steps while the block runs; what is yielded counts one step and names it."""
    if settings.quiet or not sys.stderr.isatty():
        yield lambda name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("[yellow]{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda name: progress.update(task, advance=1, description=f"{title} {name}")
