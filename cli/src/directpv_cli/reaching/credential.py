"""What a person shows NATS in a cluster: a token that Kubernetes gives those who may have it, for the bus alone.

Whatever a kubeconfig has (certificates, programs, tokens), it is shown to the API server only, which decides by its
rules who may ``create serviceaccounts/token`` of the administrators' account, or of the observers'.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from directpv_cli.install.objects.base import NAMESPACE
from directpv_cli.reaching.kubectl import kubectl
from directpv_common.calls.scopes import timeout
from directpv_common.process.command import output_of
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition, Unavailable
from directpv_common.protocol.names import ADMINISTRATOR_ACCOUNT, BUS_AUDIENCE, OBSERVER_ACCOUNT

ASK_SECONDS: Final = 30.0
GREET_SECONDS: Final = 20.0
"""As long as the way into a slow cluster may take to greet."""
LASTS: Final = "1h"
PEOPLE: Final = (ADMINISTRATOR_ACCOUNT, OBSERVER_ACCOUNT)


async def asks_who(url: str) -> bool:
    """Tell whether the server at ``url`` asks who somebody is; not, if there is none: who connects learns why.

    Raises:
        Unavailable: It says nothing, which is no answer.

    Source: NATS protocol, INFO.
    """
    parts, writer = urlsplit(url), None
    try:
        async with timeout(GREET_SECONDS):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            line = await reader.readline()
        return bool(json.loads(line.removeprefix(b"INFO ")).get("auth_required"))
    except TimeoutError:
        raise Unavailable(f"NATS at {url} does not greet within {GREET_SECONDS:g} s; repeat") from None
    except (OSError, ValueError):
        return False
    finally:
        if writer is not None:
            writer.close()


def command(kubeconfig: str, account: str) -> list[str]:
    """Return kubectl's command line; an empty ``kubeconfig``: kubectl finds one itself."""
    wanted = [f"--audience={BUS_AUDIENCE}", f"--duration={LASTS}"]
    return kubectl(kubeconfig, "-n", NAMESPACE, "create", "token", account, *wanted)


async def token_from_cluster(kubeconfig: str, accounts: Sequence[str] = PEOPLE) -> str:
    """Return a token of the administrators, or, for who may not have one, of the observers; or of ``accounts``.

    Raises:
        FailedPrecondition: The kubeconfig's user may have neither; says what kubectl said.
    """
    first: DirectPVError | None = None
    for account in accounts:
        try:
            return (await output_of(*command(kubeconfig, account), within=ASK_SECONDS)).strip()
        except DirectPVError as error:
            first = first or error
    assert first is not None
    raise FailedPrecondition(
        f"Kubernetes gives you no token for DirectPV's bus; who may is bound to the Role {ADMINISTRATOR_ACCOUNT} in "
        f"namespace {NAMESPACE} (or {OBSERVER_ACCOUNT}, to look on): {first.message}"
    )
