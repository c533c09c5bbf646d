"""What a person shows NATS in a cluster: a token that Kubernetes gives those who may have it, for the bus alone.

And what NATS must show before: a certificate of the authority that Kubernetes names.

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
from directpv_common.protocol.names import (
    ADMINISTRATOR_ACCOUNT,
    BUS_AUDIENCE,
    BUS_CA,
    BUS_CA_KEY,
    OBSERVER_ACCOUNT,
)

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


def authority_command(kubeconfig: str) -> list[str]:
    """Return kubectl's command line; nothing comes of it if there is no such ConfigMap."""
    path = "{.data." + BUS_CA_KEY.replace(".", "\\.") + "}"
    wanted = ["get", "configmap", BUS_CA, "--ignore-not-found", "-o", f"jsonpath={path}"]
    return kubectl(kubeconfig, "-n", NAMESPACE, *wanted)


async def authority_from_cluster(kubeconfig: str) -> str:
    """Return the certificate by which NATS is known, as PEM; empty if NATS is of a version without TLS.

    Raises:
        FailedPrecondition: The kubeconfig's user may not read it; says what kubectl said.
    """
    try:
        return await output_of(*authority_command(kubeconfig), within=ASK_SECONDS)
    except DirectPVError as error:
        raise FailedPrecondition(
            f"Kubernetes does not tell you by which certificate DirectPV's bus is known (ConfigMap {BUS_CA} in "
            f"namespace {NAMESPACE}); who may read it is bound to the Role {ADMINISTRATOR_ACCOUNT} or "
            f"{OBSERVER_ACCOUNT}: {error.message}"
        ) from error


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
