"""Ports of loopback for servers of a local stack."""

import contextlib
import random
import socket
from pathlib import Path
from typing import Final

_RANGE_FILE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST: Final = 10_000
_FALLBACK_END: Final = 32_768
_TRIES: Final = 200


def free_port() -> int:
    """Return a port of loopback that nobody uses, outside the range from which the kernel serves clients.

    A port that the kernel gave by itself may be the source port of somebody's connection a moment later, and the
    server that was meant to have it could not bind.

    Raises:
        OSError: No port is free after many tries.
    """
    try:
        end = int(_RANGE_FILE.read_text().split()[0])
    except (OSError, ValueError):
        end = _FALLBACK_END
    if end <= _LOWEST + _TRIES:
        end = _FALLBACK_END
    for port in random.sample(range(_LOWEST, end), _TRIES):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no free port on 127.0.0.1 among {_TRIES} tried from {_LOWEST} to {end - 1}")


def is_free(port: int) -> bool:
    """Tell whether a server could listen on a port of loopback; connections that ended a moment ago do not matter."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
