"""Verb ``nats-context``: for the ``nats`` CLI, with an observer's token: it hears everything, and commands nothing."""

import asyncio
import shlex
from typing import Final

from directpv_cli.install.objects.base import NAMESPACE
from directpv_cli.install.objects.nats import CLIENT_PORT, NAME
from directpv_cli.reaching import context_file
from directpv_cli.reaching.credential import LASTS, authority_from_cluster, token_from_cluster
from directpv_cli.reaching.kubectl import kubectl
from directpv_cli.showing.terminal.lines import fail, say
from directpv_common.access.tokens import inbox_of
from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.names import ADMINISTRATOR_ACCOUNT, OBSERVER_ACCOUNT

CONTEXT: Final = "directpv-cluster"


def nats_context(kubeconfig: str, port: int) -> None:
    """Write the context, and say how the port of loopback that it names leads into the cluster."""
    try:
        token, authority = asyncio.run(_shown(kubeconfig))
        trust = {"ca": str(context_file.write_beside(CONTEXT, authority))} if authority else {}
        path = context_file.write(
            CONTEXT,
            {
                "description": "DirectPV in a cluster",
                "url": f"{'tls' if authority else 'nats'}://127.0.0.1:{port}",
                **trust,
                "token": token,
                "inbox_prefix": inbox_of(token),
            },
        )
    except (DirectPVError, OSError) as error:
        fail(str(error))
    forward = kubectl(kubeconfig, "-n", NAMESPACE, "port-forward", f"service/{NAME}", f"{port}:{CLIENT_PORT}")
    say(f"{path} written, good for {LASTS}; while this runs:")
    say(f"  {shlex.join(forward)}")
    say(f"use it by: nats --context {CONTEXT} sub 'directpv.v1.evt.>'; nats --context {CONTEXT} micro ls")


async def _shown(kubeconfig: str) -> tuple[str, str]:
    """Return the token, and the certificate by which NATS is known."""
    token = await token_from_cluster(kubeconfig, (OBSERVER_ACCOUNT, ADMINISTRATOR_ACCOUNT))
    return token, await authority_from_cluster(kubeconfig)
