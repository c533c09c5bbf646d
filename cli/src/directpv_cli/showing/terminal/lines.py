"""Lines for people, on standard error, and how a program ends: the exit status tells the truth."""

import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

import typer

from directpv_cli.reading.settings import settings
from directpv_cli.reading.statuses import RUNTIME_ERROR, USAGE_ERROR
from directpv_cli.showing.terminal.listening import listener
from directpv_cli.showing.terminal.screen import coloured, escaped, rendered
from directpv_cli.showing.terminal.text import clean
from directpv_cli.showing.terminal.typed import typeable

T = TypeVar("T")


def fail(message: str, status: int = RUNTIME_ERROR) -> NoReturn:
    """Print ``message`` on standard error and exit with ``status``."""
    trouble(message)
    raise typer.Exit(status)


def trouble(message: str) -> None:
    """Print that something failed, on standard error; others may succeed."""
    if (hearing := listener()) is not None:
        hearing.said(typeable(message), trouble=True)
    else:
        say(f"[red]ERROR[/red] {plain(message)}")


def say(markup: str) -> None:
    """Print a line for people on standard error; nothing under ``--quiet``."""
    markup = typeable(markup)
    if (hearing := listener()) is not None:
        hearing.said(rendered(markup, colours=False), trouble=False)
        return
    if settings.quiet:
        return
    sys.stderr.write(rendered(markup, colours=coloured(sys.stderr)) + "\n")
    sys.stderr.flush()


def plain(text: str) -> str:
    """Return ``text`` so that :func:`say` prints it as it is; what a terminal would obey is made visible."""
    return escaped("\n".join(map(clean, text.split("\n"))))


def checked(parse: Callable[[], T]) -> T:
    """Return what ``parse()`` returns; bad arguments end the program with status 255."""
    try:
        return parse()
    except ValueError as error:
        fail(str(error), USAGE_ERROR)
