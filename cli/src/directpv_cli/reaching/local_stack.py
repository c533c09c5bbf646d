"""Which stack of this machine is meant, for both programs: by its directory, by its URL, or because it is the only one.

DIRECTPV_STATE_DIR ─► the stack in that directory
DIRECTPV_NATS_URL ──► the stack at that URL
nothing of these ───► the one in the usual directory, or else the only one that there is
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson

from directpv_cli.reaching import local_key

STATE_DIR: Final = "DIRECTPV_STATE_DIR"
NATS_URL: Final = "DIRECTPV_NATS_URL"
DEFAULT_DIR: Final = Path("/var/lib/directpv-local")
FILE: Final = "stack.json"
"""In the directory of a stack."""


class Stacks:
    """The stacks of this machine, as their directories and the keys that they published tell."""

    def __init__(self, usual: Path = DEFAULT_DIR, keys: Path = local_key.FOLDER) -> None:
        self.usual = usual
        self._keys = keys

    def url_in(self, directory: Path | str) -> str:
        """Return the URL of the stack in ``directory``; nothing if there is no stack, or none that got that far."""
        try:
            found = orjson.loads(Path(directory, FILE).read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return ""
        return str(found.get("nats_url", "")) if isinstance(found, dict) else ""

    def directory_at(self, url: str) -> Path | None:
        """Return the directory of the stack at ``url``; None if no stack of this machine is there."""
        return next((directory for directory in self.directories() if self.url_in(directory) == url), None)

    def directories(self) -> list[Path]:
        """Return where there are stacks."""
        try:
            links = [os.readlink(link) for link in self._keys.iterdir() if link.is_symlink()]
        except OSError:
            links = []
        found = {self.usual, *(Path(link).parent.parent for link in links)}
        return sorted(directory for directory in found if self.url_in(directory))

    def usual_urls(self) -> list[str]:
        """Return the URL of the stack that is meant if nothing is named; those of several if that is not clear."""
        if url := self.url_in(self.usual):
            return [url]
        return [self.url_in(directory) for directory in self.directories()]

    def disagreement(self, environment: Mapping[str, str], url: str) -> str:
        """Return why the environment does not say which stack is meant; nothing if it does.

        Args:
            environment: What both variables are looked up in.
            url: Where a program would go.
        """
        directory = environment.get(STATE_DIR, "")
        there = self.url_in(directory) if directory else ""
        if not url or there in ("", url) or url != environment.get(NATS_URL, ""):
            return ""
        return f"{NATS_URL} is {url}, {STATE_DIR} means the stack at {there}; unset one of them"


STACKS: Final = Stacks()
