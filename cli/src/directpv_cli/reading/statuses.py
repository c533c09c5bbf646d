"""With which status a program ends, one table; and that Typer ends with those.

Source: upstream's plugin and kubectl. Both say 1 to a flag or verb that they do not know; upstream says 255 to
arguments that it does not understand. Both show what there is, and are content, where nothing was asked for.
"""

from collections.abc import Mapping
from typing import Any, Final

import typer
from typer.core import TyperGroup

RUNTIME_ERROR: Final = 1
USAGE_ERROR: Final = 255
INTERRUPTED: Final = 130
"""What a shell shows of a program that SIGINT ended."""
READER_GONE: Final = 141
"""What a shell shows of a program that SIGPIPE ended."""
STATUSES: Final[Mapping[int, str]] = {
    0: "done; nothing is left to be done",
    RUNTIME_ERROR: "something failed, is not well, or nothing matched; or a flag or verb is unknown",
    USAGE_ERROR: "an argument is missing, or a value cannot be understood; nothing was done",
    INTERRUPTED: "interrupted (Ctrl-C)",
    READER_GONE: "nobody reads what is printed, as in: events | head",
}


class Group(TyperGroup):
    """Verbs; without any word it shows them, which is no error."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)


def install() -> None:
    """Have Typer end with these statuses; it says 2 to all that it cannot read."""
    typer.BadParameter.__base__.exit_code = RUNTIME_ERROR  # type: ignore[union-attr]
    typer.BadParameter.exit_code = USAGE_ERROR  # that of missing ones, too


install()
