"""Where ``directpv up`` leaves the administrator's key of a stack on this machine, by the stack's URL."""

import os
from pathlib import Path
from typing import Final

FOLDER: Final = Path("/run/directpv/keys")


def place_of(url: str) -> Path:
    """Return the file; there is none if no stack of this machine is at ``url``.

    >>> place_of("nats://127.0.0.1:4222").name
    '127.0.0.1-4222.nkey'
    """
    return FOLDER / f"{url.removeprefix('nats://').replace(':', '-').replace('/', '_')}.nkey"


def found_key(url: str) -> str:
    """Return the file if there is one that we may read; else nothing."""
    place = place_of(url)
    return str(place) if os.access(place, os.R_OK) else ""
