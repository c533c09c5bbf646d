"""How a verb reaches the installation's NATS: at a URL that was given, or through ``kubectl port-forward``.

    --nats-url, DIRECTPV_NATS_URL ───────────────────────────────────► that URL
    --kubeconfig, KUBECONFIG, ~/.kube/config ─► kubectl port-forward ─► a port of loopback, while the verb runs
    nothing of these ────────────────────────────────────────────────► the local stack's usual URL

kubectl finds cluster, user and credentials as it always does, plugins for credentials included.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, NamedTuple

from directpv_cli.reading.settings import settings
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import FailedPrecondition, Unavailable

LOCAL_URL: Final = "nats://127.0.0.1:4222"
"""Where ``directpv up`` has its bus unless told otherwise."""
_LISTENS_SECONDS: Final = 2.0


class Tunnel(NamedTuple):
    """Through kubectl; ``kubeconfig`` is what a flag named, empty if kubectl finds one by itself."""

    kubeconfig: str


def way(url: str, kubeconfig: str, environment: Mapping[str, str], exists: Callable[[str], bool]) -> str | Tunnel:
    """Return the URL to connect to, or the tunnel to make.

    Args:
        url: What ``--nats-url`` or DIRECTPV_NATS_URL gave; empty if nothing.
        kubeconfig: What ``--kubeconfig`` gave; empty if nothing.
        environment: HOME and KUBECONFIG (one path or several, as kubectl takes them) are looked at.
        exists: Tells whether there is a file.

    Raises:
        FailedPrecondition: A kubeconfig was named, and there is no such file.
    """
    if url:
        return url
    named = [kubeconfig] if kubeconfig else environment.get("KUBECONFIG", "").split(os.pathsep)
    files = list(filter(None, named))
    if files and not any(map(exists, files)):
        raise FailedPrecondition(f"no cluster: there is no file {', '.join(files)}; give --kubeconfig, or --nats-url")
    home = environment.get("HOME", "")
    if files or settings.context or (home and exists(os.path.join(home, ".kube", "config"))):
        return Tunnel(kubeconfig)
    return LOCAL_URL


@contextlib.asynccontextmanager
async def reached(url: str, kubeconfig: str) -> AsyncIterator[str]:
    """Yield the URL of the installation's NATS; what leads there ends with the block. Args as of :func:`way`.

    Raises:
        FailedPrecondition: A kubeconfig was named, and there is no such file.
        Unavailable: There is no way into the cluster, or it was lost meanwhile; says why.
    """
    chosen = way(url, kubeconfig, os.environ, os.path.exists)
    if isinstance(chosen, str):
        if not url:
            await _require_stack(chosen)
        yield chosen
        return
    from directpv_cli.reaching.port_forward import HOST  # late: a URL that was given needs none of it
    from directpv_cli.reaching.tunnel import way_in

    async with way_in(chosen.kubeconfig) as port:
        yield f"nats://{HOST}:{port}"


async def _require_stack(url: str) -> None:
    """Say at once, and what helps, that nothing was named and nothing listens where a local stack would."""
    host, _, port = url.removeprefix("nats://").partition(":")
    try:
        async with timeout(_LISTENS_SECONDS):
            _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
    except OSError as error:  # TimeoutError too
        raise Unavailable(
            f"no stack runs on this machine ({url}), and no kubeconfig leads to a cluster: `directpv up` starts a "
            "stack; --kubeconfig or --nats-url name what is meant"
        ) from error
