"""Ports of loopback that no other process of the tests takes."""

import socket
from typing import Final

from directpv_cli.local.machine import ports

_TRIES: Final = 50
_claims: Final[list[socket.socket]] = []


def free_port() -> int:
    """Return a port that nobody uses, and that no other caller gets as long as this process lives.

    Between the look for a port and the start of the server that binds it, another worker may look. Who gets a port
    claims it by an abstract socket, which the kernel drops with the process.

    Raises:
        OSError: No port is free after many tries.
    """
    for _ in range(_TRIES):
        port = ports.free_port()
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0directpv-tests-port-{port}")
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port
    raise OSError(f"{_TRIES} ports are free, and all are claimed")
