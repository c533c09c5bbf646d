"""How a verb reaches the installation's NATS: at a URL that was given, or through ``kubectl port-forward``.

    --nats-url, DIRECTPV_NATS_URL ─────────────────────────► that URL
    --kubeconfig, --context ──────► kubectl port-forward ──► a port of loopback, while the verb runs
    DIRECTPV_STATE_DIR ────────────────────────────────────► the URL of the local stack in that directory
    KUBECONFIG, ~/.kube/config ───► kubectl port-forward ──► as above
    nothing of these ──────────────────────────────────────► the local stack, see :mod:`.local_stack`

kubectl finds cluster, user and credentials as it always does, plugins for credentials included.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, NamedTuple

from directpv_cli.reaching.local_stack import STACKS, STATE_DIR, Stacks
from directpv_cli.reading.settings import settings
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import FailedPrecondition, Unavailable

LOCAL_URL: Final = "nats://127.0.0.1:4222"
"""Where ``directpv up`` has its bus unless told otherwise."""
_LISTENS_SECONDS: Final = 2.0


class Tunnel(NamedTuple):
    """Through kubectl; ``kubeconfig`` is what a flag named, empty if kubectl finds one by itself."""

    kubeconfig: str


def way(
    url: str,
    kubeconfig: str,
    environment: Mapping[str, str],
    exists: Callable[[str], bool],
    stacks: Stacks = STACKS,
) -> str | Tunnel:
    """Return the URL to connect to, or the tunnel to make.

    Args:
        url: What ``--nats-url`` or DIRECTPV_NATS_URL gave; empty if nothing.
        kubeconfig: What ``--kubeconfig`` gave; empty if nothing.
        environment: HOME, KUBECONFIG (one path or several, as kubectl takes them) and DIRECTPV_STATE_DIR are looked at.
        exists: Tells whether there is a file.
        stacks: Those of this machine.

    Raises:
        FailedPrecondition: A kubeconfig or a stack was named and is not there, or two stacks are named.
    """
    if url:
        if wrong := stacks.disagreement(environment, url):
            raise FailedPrecondition(wrong)
        return url
    if (directory := environment.get(STATE_DIR, "")) and not kubeconfig and not settings.context:
        return _url_in(directory, stacks)
    named = [kubeconfig] if kubeconfig else environment.get("KUBECONFIG", "").split(os.pathsep)
    files = list(filter(None, named))
    if files and not any(map(exists, files)):
        raise FailedPrecondition(f"no cluster: there is no file {', '.join(files)}; give --kubeconfig, or --nats-url")
    home = environment.get("HOME", "")
    if files or settings.context or (home and exists(os.path.join(home, ".kube", "config"))):
        return Tunnel(kubeconfig)
    found = stacks.usual_urls()
    return found[0] if len(found) == 1 else LOCAL_URL


def _url_in(directory: str, stacks: Stacks) -> str:
    if url := stacks.url_in(directory):
        return url
    raise FailedPrecondition(f"{STATE_DIR}: no stack in {directory}; `directpv up` starts one there, or unset it")


@contextlib.asynccontextmanager
async def reached(url: str, kubeconfig: str) -> AsyncIterator[str]:
    """Yield the URL of the installation's NATS; what leads there ends with the block. Args as of :func:`way`.

    Raises:
        FailedPrecondition: As :func:`way`; or nothing is named, and there are several stacks.
        Unavailable: There is no way into the cluster, or it was lost meanwhile; says why.
    """
    chosen = way(url, kubeconfig, os.environ, os.path.exists)
    if isinstance(chosen, str):
        if not url:
            require_one(STACKS, chosen)
            await _require_stack(chosen)
        yield chosen
        return
    from directpv_cli.reaching.port_forward import HOST  # late: a URL that was given needs none of it
    from directpv_cli.reaching.tunnel import way_in

    async with way_in(chosen.kubeconfig) as port:
        yield f"nats://{HOST}:{port}"


def require_one(stacks: Stacks, chosen: str) -> None:
    """Raise FailedPrecondition if nothing was named, and there are several stacks that may be meant."""
    if chosen == LOCAL_URL and len(stacks.usual_urls()) > 1:
        some = ", ".join(map(str, stacks.directories()))
        raise FailedPrecondition(f"there are several stacks on this machine, in {some}: export {STATE_DIR} says which")


async def _require_stack(url: str) -> None:
    """Say at once, and what helps, that nothing was named and nothing listens where a local stack would."""
    host, _, port = url.removeprefix("nats://").partition(":")
    try:
        async with timeout(_LISTENS_SECONDS):
            _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
    except OSError as error:  # TimeoutError too
        if there := STACKS.directory_at(url):
            raise Unavailable(
                f"the bus of the stack in {there} has ended ({url}): `directpv up --state-dir {there}` starts again "
                "what has, and volumes stay"
            ) from error
        raise Unavailable(
            f"no stack runs on this machine ({url}), and no kubeconfig leads to a cluster: `directpv up` starts a "
            "stack; --kubeconfig or --nats-url name what is meant"
        ) from error
