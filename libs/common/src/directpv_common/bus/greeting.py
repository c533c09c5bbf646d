"""Whether a NATS server is alive, asked without a client: it greets whoever connects, one that hangs does not.

Source: NATS protocol, ``INFO`` is the first that a server sends.
"""

import socket
from typing import Final
from urllib.parse import urlsplit

GREET_SECONDS: Final = 4.0
PORT: Final = 4222


def silent(urls: str, within: float = GREET_SECONDS) -> str:
    """Return why none of the comma-separated ``urls`` greets within so many seconds each, or an empty string.

    Blocks: for the thread of a probe.
    """
    why = "no server is named"
    for url in urls.split(","):
        parts = urlsplit(url.strip() if "://" in url else f"nats://{url.strip()}")
        where = (parts.hostname or "", parts.port or PORT)
        try:
            with socket.create_connection(where, within) as connection:
                if connection.recv(4) == b"INFO":
                    return ""
                why = f"who listens at {where[0]}:{where[1]} is no NATS server"
        except OSError as error:
            why = f"NATS at {where[0]}:{where[1]} does not greet: {error}"
    return why
