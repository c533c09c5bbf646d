"""Forgets by which key a node came to the bus; see :mod:`directpv_controller.admission.answers`, which keeps them."""

from typing import Final

from directpv_common import crd
from directpv_common.protocol.errors import Unavailable
from directpv_controller.nodes.nodes import ForgetKey
from directpv_controller.registry.kubernetes.apiserver.client import Client, Resource
from directpv_controller.registry.kubernetes.apiserver.errors import Missing, Refused, Stale

TRIES: Final = 5


def key_forgetter(client: Client, namespace: str) -> ForgetKey:
    """Return what empties the object that keeps a node's key: whoever guards the bus cuts the node off then."""
    resource = Resource(f"/api/v1/namespaces/{namespace}/configmaps", "configmaps")

    async def forget(node: str, dry_run: bool) -> bool:
        for _ in range(TRIES):
            try:
                found = await client.get(resource, key_name(node))
                if not found.get("data"):
                    return False
                if not dry_run:
                    await client.replace(resource, {**found, "data": {}})
            except Stale:
                continue
            except (Missing, Refused):  # no keys are kept here, or none of this node
                return False
            return True
        raise Unavailable(f"the key of node {node} is being written by others; repeat")

    return forget


def key_name(node: str) -> str:
    """Return the name of the object that keeps the key of a node."""
    return crd.object_name(f"bus-key.{node}")
