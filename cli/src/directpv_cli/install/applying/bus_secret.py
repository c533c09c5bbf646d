"""Makes the secret of the bus, once: what is there stays, for everybody's keys are made of it."""

import base64
import hmac
import secrets
from typing import Final

from directpv_cli.install.applying.kube import Cluster
from directpv_cli.install.objects.base import Object, metadata
from directpv_cli.install.objects.nats import SECRET, SECRET_HASH
from directpv_cli.install.objects.paths import PLACES, Ref
from directpv_common.access.installation import SHORTEST
from directpv_common.protocol.errors import Conflict, FailedPrecondition

KEY: Final = "secret"
BYTES: Final = 32


async def ensure(cluster: Cluster) -> str:
    """Make the secret if there is none, and return what changes with it, and does not tell it.

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
            found = await cluster.call("POST", PLACES["Secret"].path(), body=made, about=str(ref))
        except Conflict:  # somebody else's installation made it just now
            found = await cluster.get(ref)
    secret = base64.b64decode(((found or {}).get("data") or {}).get(KEY, ""))
    if len(secret) < SHORTEST:
        raise FailedPrecondition(
            f"{ref} has no {KEY} of at least {SHORTEST} characters; delete it and repeat, and a new one is made"
        )
    return hmac.digest(secret, b"directpv bus 1: seen by pods", "sha256").hex()[:16]


def told(item: Object, digest: str) -> Object:
    """Return the object; if its pods read the secret, with what makes new pods when the secret is another one."""
    spec = item.get("spec") or {}
    volumes = (spec.get("template") or {}).get("spec", {}).get("volumes") or ()
    if not any((volume.get("secret") or {}).get("secretName") == SECRET for volume in volumes):
        return item
    template = spec["template"]
    annotations = {**template["metadata"].get("annotations", {}), SECRET_HASH: digest}
    told = {**template, "metadata": {**template["metadata"], "annotations": annotations}}
    return {**item, "spec": {**spec, "template": told}}
