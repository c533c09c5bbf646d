"""A context for the ``nats`` CLI, with the observer's key: it hears everything, and commands nothing.

Source: natscli, contexts are files ``$XDG_CONFIG_HOME/nats/context/<name>.json``.
"""

import os
from pathlib import Path
from typing import Final

import orjson

from directpv_cli.local import keys
from directpv_cli.local.stack import Stack

CONTEXT: Final = "directpv"


def write(stack: Stack) -> Path:
    """Write the context for ``stack``, over an earlier one of this name, and return its file."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    path = Path(home) / "nats" / "context" / f"{CONTEXT}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    context = {
        "description": f"DirectPV in {stack.directory}, as observer",
        "url": stack.nats_url,
        "nkey": str(keys.key_file(stack.directory, keys.OBSERVER)),
        "inbox_prefix": keys.inbox(stack.directory, keys.OBSERVER),
    }
    temporary = path.with_suffix(".new")
    temporary.write_bytes(orjson.dumps(context, option=orjson.OPT_INDENT_2))
    temporary.rename(path)
    return path
