"""A context for the ``nats`` CLI: how it reaches a bus, and what it shows there.

Source: natscli, contexts are files ``$XDG_CONFIG_HOME/nats/context/<name>.json``.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import orjson


def write(name: str, context: Mapping[str, str]) -> Path:
    """Write the context, over an earlier one of this name, so that nobody else reads it, and return its file.

    Raises:
        OSError: It cannot be written.
    """
    path = _place(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(orjson.dumps(dict(context), option=orjson.OPT_INDENT_2))
    temporary.rename(path)
    return path


def write_beside(name: str, text: str) -> Path:
    """Write what everybody may know beside the context, for it to name, and return the file.

    Raises:
        OSError: It cannot be written.
    """
    path = _place(name).with_suffix(".crt")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new-crt")
    temporary.write_text(text)
    temporary.rename(path)
    return path


def take_away(name: str, key: str) -> None:
    """Remove the context if it shows the key ``key``, which is gone; another one of this name stays."""
    path = _place(name)
    with contextlib.suppress(OSError, orjson.JSONDecodeError):
        found = orjson.loads(path.read_bytes())
        if isinstance(found, dict) and found.get("nkey") == key:
            path.unlink()


def _place(name: str) -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "nats" / "context" / f"{name}.json"
