"""Makes the secret of the bus, once: what is there stays, for everybody's keys are made of it."""

import base64
import hashlib
import hmac
import secrets
from typing import Final

from directpv_cli.install.applying.kube import Cluster
from directpv_cli.install.objects.base import Object, metadata
from directpv_cli.install.objects.nats import SECRET, SECRET_HASH
from directpv_cli.install.objects.paths import PLACES, Ref
from directpv_common.access.installation import ALSO, SHORTEST
from directpv_common.protocol.errors import Conflict, FailedPrecondition
from directpv_common.protocol.names import GROUP

KEY: Final = "secret"
BYTES: Final = 32
TRUST_HASH: Final = f"{GROUP}/bus-trust-hash"
"""Annotation of nodes' pods, which read certificates when they start; ``rotate`` writes, ``install`` keeps it."""


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
    secret, also = (base64.b64decode(((found or {}).get("data") or {}).get(key, "")) for key in (KEY, ALSO))
    if len(secret) < SHORTEST:
        raise FailedPrecondition(
            f"{ref} has no {KEY} of at least {SHORTEST} characters; delete it and repeat, and a new one is made"
        )
    return hmac.digest(secret, b"directpv bus 1: seen by pods" + also, "sha256").hex()[:16]


def shown(certificates: str) -> str:
    """Return what changes when other certificates are published."""
    return hashlib.sha256(certificates.encode()).hexdigest()[:16]


def told(item: Object, digest: str) -> Object:
    """Return the object; if its pods read the secret, with what makes new pods when the secret is another one."""
    spec = item.get("spec") or {}
    volumes = (spec.get("template") or {}).get("spec", {}).get("volumes") or ()
    if not any((volume.get("secret") or {}).get("secretName") == SECRET for volume in volumes):
        return item
    return annotated(item, SECRET_HASH, digest)


def kept(item: Object, live: Object | None) -> Object:
    """Return the object with what ``rotate`` wrote to the one that is there: its pods are not made anew for it."""
    there = _annotations(live or {}).get(TRUST_HASH, "")
    return annotated(item, TRUST_HASH, there) if there else item


def annotated(item: Object, name: str, value: str) -> Object:
    """Return a workload whose pods have one annotation more."""
    spec = item["spec"]
    metadata = {**spec["template"]["metadata"], "annotations": {**_annotations(item), name: value}}
    return {**item, "spec": {**spec, "template": {**spec["template"], "metadata": metadata}}}


def _annotations(item: Object) -> dict[str, str]:
    template = (item.get("spec") or {}).get("template") or {}
    return (template.get("metadata") or {}).get("annotations") or {}
