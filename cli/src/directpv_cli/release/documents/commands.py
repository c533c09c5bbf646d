"""The reference of both tools: each verb with the help that it prints itself."""

from collections.abc import Iterator
from typing import Any, Final

import typer
from typer.core import TyperGroup

from directpv_cli.app import app_for
from directpv_cli.local.__main__ import app as local_app

WIDTH: Final = 100
"""Columns of the help."""
_HEAD: Final = """# Commands

What `--help` prints. `kubectl directpv` and `kubectl-directpv` are one program; `directpv` starts a stack on one
machine.
"""


def page() -> str:
    """Return the page."""
    tools = (("kubectl directpv", typer.main.get_command(app_for())), ("directpv", typer.main.get_command(local_app)))
    return "\n".join([_HEAD, *(part for name, command in tools for part in _parts(name, command, None, 2))])


def _parts(name: str, command: Any, parent: typer.Context | None, level: int) -> Iterator[str]:
    """Yield a section for a command of Typer's, and one for each below it."""
    context = typer.Context(command, info_name=name, parent=parent, max_content_width=WIDTH, terminal_width=WIDTH)
    help_text = "\n".join(f"    {line}".rstrip() for line in command.get_help(context).splitlines())
    yield f"{'#' * min(level, 4)} {context.command_path}\n\n{help_text}\n"
    if isinstance(command, TyperGroup):
        for word in command.list_commands(context):
            found = command.get_command(context, word)
            if found is not None and not found.hidden:
                yield from _parts(word, found, context, level + 1)
