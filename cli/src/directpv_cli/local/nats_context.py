"""A context for the ``nats`` CLI, with the observer's key: it hears everything, and commands nothing."""

from pathlib import Path
from typing import Final

from directpv_cli.local import keys
from directpv_cli.local.stack import Stack
from directpv_cli.reaching import context_file

CONTEXT: Final = "directpv"


def write(stack: Stack) -> Path:
    """Write the context for ``stack``, over an earlier one of this name, and return its file."""
    context = {
        "description": f"DirectPV in {stack.directory}, as observer",
        "url": stack.nats_url,
        "nkey": str(keys.key_file(stack.directory, keys.OBSERVER)),
        "inbox_prefix": keys.inbox(stack.directory, keys.OBSERVER),
    }
    return context_file.write(CONTEXT, context)


def take_away(directory: Path) -> None:
    """Remove the context of the stack in ``directory``, if it is the last that was written."""
    context_file.take_away(CONTEXT, str(keys.key_file(directory, keys.OBSERVER)))
