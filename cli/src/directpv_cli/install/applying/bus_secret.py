"""Makes the secret of the bus, once: what is there stays, for everybody's keys are made of it."""

import base64
import secrets
from typing import Final

from directpv_cli.install.applying.kube import Cluster
from directpv_cli.install.objects.base import metadata
from directpv_cli.install.objects.nats import SECRET
from directpv_cli.install.objects.paths import PLACES, Ref
from directpv_common.access.installation import SHORTEST
from directpv_common.protocol.errors import Conflict, FailedPrecondition

KEY: Final = "secret"
BYTES: Final = 32


async def ensure(cluster: Cluster) -> None:
    """Make the secret if there is none.

    Raises:
        FailedPrecondition: There is one that holds none; says what to do.
        DirectPVError: The API server refuses, or does not answer.
    """
    ref = Ref("Secret", SECRET)
    found = await cluster.get(ref)
    if found is None:
        made = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata(SECRET),
            "type": "Opaque",
            "stringData": {KEY: secrets.token_hex(BYTES)},
        }
        try:
            await cluster.call("POST", PLACES["Secret"].path(), body=made, about=str(ref))
        except Conflict:  # somebody else's installation made it just now
            found = await cluster.get(ref)
    if found is not None and len(base64.b64decode((found.get("data") or {}).get(KEY, ""))) < SHORTEST:
        raise FailedPrecondition(
            f"{ref} has no {KEY} of at least {SHORTEST} characters; delete it and repeat, and a new one is made"
        )
