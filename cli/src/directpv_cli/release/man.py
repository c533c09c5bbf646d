"""Manual pages of both tools, one per verb: ``scripts/man dist/man``, then ``man -M dist/man kubectl-directpv-move``.

The help itself is the text, as in docs/reference/commands.md. Source: man-pages(7), groff_man(7).
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer
from typer.core import TyperGroup

from directpv_cli.app import app_for
from directpv_cli.local.__main__ import app as local_app
from directpv_cli.reading.statuses import STATUSES

TOOLS: Final = ("kubectl directpv", "directpv")
SECTION: Final = 1


def pages() -> dict[str, str]:
    """Return the text of each page by the name of its file, for instance ``kubectl-directpv-move.1``."""
    commands = (typer.main.get_command(app_for()), typer.main.get_command(local_app))
    found = [each for name, command in zip(TOOLS, commands, strict=True) for each in _walk(name, command, None)]
    names = [context.command_path for context, _ in found]
    return {f"{_dashed(context.command_path)}.{SECTION}": _page(context, command, names) for context, command in found}


def _walk(name: str, command: Any, parent: typer.Context | None) -> Iterator[tuple[typer.Context, Any]]:
    context = typer.Context(command, info_name=name, parent=parent)
    yield context, command
    if isinstance(command, TyperGroup):
        for word in command.list_commands(context):
            below = command.get_command(context, word)
            if below is not None and not below.hidden:
                yield from _walk(word, below, context)


def _page(context: typer.Context, command: Any, names: list[str]) -> str:
    path = context.command_path
    summary, _, rest = (command.help or "").partition("\n\n")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [
        f'.TH "{_dashed(path).upper()}" {SECTION} "" "DirectPV" "DirectPV"',
        ".SH NAME",
        f"{_dashed(path)} \\- {escaped(' '.join(summary.split()).removesuffix('.'))}",
        ".SH SYNOPSIS",
        f"\\fB{escaped(path)}\\fR {escaped(usage)}",
        *(_section("DESCRIPTION", rest) if rest.strip() else ()),
        *_params(context, command),
        *_statuses(),
        ".SH SEE ALSO",
        ", ".join(f"\\fB{_dashed(name)}\\fR({SECTION})" for name in names if _near(name, path)),
    ]
    return "\n".join(lines) + "\n"


def _params(context: typer.Context, command: Any) -> Iterator[str]:
    yield ".SH OPTIONS"
    for param in command.get_params(context):
        record = param.get_help_record(context)
        if record is not None:
            yield from (".TP", f"\\fB{escaped(record[0])}\\fR", escaped(" ".join(record[1].split())))


def _section(title: str, text: str) -> Iterator[str]:
    yield f".SH {title}"
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        if number:
            yield ".PP"
        kept = any(line.startswith(" ") for line in paragraph.splitlines())  # columns, as a table has
        lines = map(escaped, paragraph.splitlines() if kept else [" ".join(paragraph.split())])
        yield from (".nf", *lines, ".fi") if kept else lines


def _statuses() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for status, means in STATUSES.items():
        yield from (".TP", f"\\fB{status}\\fR", escaped(means))


def _near(name: str, path: str) -> bool:
    """Tell whether a page is the one above, or one right below."""
    return name != path and (name == path.rpartition(" ")[0] or name.rpartition(" ")[0] == path)


def _dashed(path: str) -> str:
    return path.replace(" ", "-")


def escaped(text: str) -> str:
    """Return text that means nothing to groff. Source: groff(7), "Escape sequences", "Control characters"."""
    text = (
        text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga").replace("^", "\\(ha")
    )
    text = text.replace("~", "\\(ti")
    return f"\\&{text}" if text.startswith((".", "\\(aq")) else text


def main(arguments: list[str]) -> None:
    """Write all pages below a folder."""
    parser = argparse.ArgumentParser(description="Write the manual pages of both tools.")
    parser.add_argument("folder", type=Path, help="for instance dist/man")
    folder = parser.parse_args(arguments).folder / f"man{SECTION}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
