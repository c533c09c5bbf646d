"""Lines for people, on standard error, and how a program ends: the exit status tells the truth."""

import functools
import shutil
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

import typer

from directpv_cli.reading.settings import settings
from directpv_cli.reading.statuses import RUNTIME_ERROR, USAGE_ERROR
from directpv_cli.showing.terminal.listening import listener
from directpv_cli.showing.terminal.screen import coloured, escaped, rendered
from directpv_cli.showing.terminal.text import clean

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


def typeable(text: str) -> str:
    """Return ``text`` with commands as they can be typed here: without kubectl its plugin is a program of its own.

    Services and advice name the plugin as one does in a cluster.
    """
    return text if _has_kubectl() else text.replace("kubectl directpv ", "kubectl-directpv ")


@functools.cache
def _has_kubectl() -> bool:
    return shutil.which("kubectl") is not None


def plain(text: str) -> str:
    """Return ``text`` so that :func:`say` prints it as it is; what a terminal would obey is made visible."""
    return escaped("\n".join(map(clean, text.split("\n"))))


def checked(parse: Callable[[], T]) -> T:
    """Return what ``parse()`` returns; bad arguments end the program with status 255."""
    try:
        return parse()
    except ValueError as error:
        fail(str(error), USAGE_ERROR)
