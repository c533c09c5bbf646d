"""Whether a NATS server is alive, asked without a client: it greets whoever connects, one that hangs does not.

Source: NATS protocol, ``INFO`` is the first that a server sends.
"""

import http.client
import json
import socket
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from directpv_common.access.rendering import authority_tag

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


def outdated(monitor_port: int, bus_ca: str, within: float = GREET_SECONDS) -> str:
    """Return why a node's own server has to be started anew, or an empty string; also if it does not say.

    It reads the certificates by which it knows the cluster's servers when it starts; others may have been published
    since. Blocks: for the thread of a probe. Source: NATS documentation, "Monitoring", ``/varz``.

    Args:
        monitor_port: Port of loopback on which the server tells of itself.
        bus_ca: File with the certificates that are published.
        within: Seconds for its answer.
    """
    try:
        wanted = authority_tag(Path(bus_ca).read_text())
        with closing(http.client.HTTPConnection("127.0.0.1", monitor_port, timeout=within)) as connection:
            connection.request("GET", "/varz")
            tags = json.loads(connection.getresponse().read()).get("tags") or []
    except (OSError, ValueError, AttributeError, http.client.HTTPException):
        return ""
    return "" if wanted in tags else "this node's NATS server was started with other certificates than are published"
