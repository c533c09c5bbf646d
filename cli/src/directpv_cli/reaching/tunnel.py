"""A port of loopback behind which a NATS server of the cluster greets; kubectl is asked for one after another."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Final

from directpv_cli.install.objects.base import NAMESPACE
from directpv_cli.install.objects.nats import CLIENT_PORT, NAME, SERVERS
from directpv_cli.reaching.kubectl import kubectl
from directpv_cli.reaching.port_forward import HOST, port_forward
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import Unavailable

GREET_SECONDS: Final = (5.0, 20.0)
"""Until a server must greet through the tunnel. Who is silent may be dead, or slow: another is asked first, and all of
them once more."""
TARGETS: Final = (f"service/{NAME}", *(f"pod/{NAME}-{index}" for index in range(SERVERS)))
"""What kubectl forwards to, in turn until a server greets: of a service it takes any pod that Kubernetes believes in,
also one on a node that lost its power a moment ago."""


def command(kubeconfig: str, target: str) -> list[str]:
    """Return kubectl's command line; the kernel chooses the port. An empty ``kubeconfig``: kubectl finds one itself."""
    return kubectl(kubeconfig, "-n", NAMESPACE, "port-forward", "--address", HOST, target, f":{CLIENT_PORT}")


@contextlib.asynccontextmanager
async def way_in(kubeconfig: str, greet: Sequence[float] = GREET_SECONDS) -> AsyncIterator[int]:
    """Yield a port of loopback behind which a NATS server of the cluster greets, while the block runs.

    Raises:
        Unavailable: There is none, with what kubectl said when it was asked first; or see :func:`port_forward`.
    """
    first: Unavailable | None = None
    for seconds, target in itertools.product(greet, TARGETS):
        listened = reached = False
        try:
            async with port_forward(command(kubeconfig, target)) as port:
                listened = True
                await _greeted(port, seconds)
                reached = True
                yield port
                return
        except Unavailable as error:
            if reached or (first is None and not listened):
                raise
            first = first or error
    assert first is not None
    raise first


async def _greeted(port: int, seconds: float) -> None:
    """Wait until the server behind the port says who it is, as NATS servers do first.

    Raises:
        Unavailable: It does not.
    """
    writer = None
    try:
        async with timeout(seconds):
            reader, writer = await asyncio.open_connection(HOST, port)
            greeting = await reader.read(1)
    except (OSError, TimeoutError):
        greeting = b""
    finally:
        if writer is not None:
            writer.close()
    if not greeting:
        raise Unavailable("the cluster cannot be reached: no NATS server answers through kubectl port-forward")
