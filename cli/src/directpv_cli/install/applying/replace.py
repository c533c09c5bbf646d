"""Removes a workload that must be replaced, and waits for its pods: two kinds of controllers must not run at once."""

import time
from typing import Final

from directpv_cli.install.applying.kube import Cluster
from directpv_cli.install.applying.removal import unprotect
from directpv_cli.install.objects.base import NAMESPACE, Object
from directpv_cli.install.objects.paths import Ref
from directpv_common.protocol.errors import FailedPrecondition

REPLACE_SECONDS: Final = 120.0
"""Upstream's pods have 30 s to end."""
LOOK_SECONDS: Final = 2.0


async def remove(cluster: Cluster, live: Object, why: str) -> list[str]:
    """Remove the workload, and its pods; these leave every mount of the node in place. Return what is to be told.

    Pods on a node that is away end when it is back, which may be never: these are not waited for.

    Raises:
        FailedPrecondition: Its pods stay.
    """
    ref, end = Ref.of(live), time.monotonic() + REPLACE_SECONDS
    await unprotect(cluster, ref)
    await cluster.delete(ref, foreground=True)
    while not await cluster.gone(ref, LOOK_SECONDS):
        left = await _pods(cluster, live)
        away = await _away(cluster) if left else set()
        if left and all(node in away for node in left.values()):
            await cluster.patch(ref, {"metadata": {"finalizers": None}})
            return [f"Pod {name} of the earlier {ref} ends when node {node} is back" for name, node in left.items()]
        if time.monotonic() >= end:
            raise FailedPrecondition(
                f"{ref} must be replaced ({why}), but its pods {', '.join(left)} were not gone within "
                f"{REPLACE_SECONDS:.0f} s; look at kubectl -n {NAMESPACE} get pods, and repeat"
            )
    return []


async def _pods(cluster: Cluster, live: Object) -> dict[str, str]:
    """Return the nodes of its pods, by the pods' names."""
    selector = ",".join(f"{key}={value}" for key, value in live["spec"]["selector"]["matchLabels"].items())
    found: dict[str, str] = {}
    async for page in cluster.pages("Pod", selector=selector):
        found |= {pod["metadata"]["name"]: pod["spec"].get("nodeName", "") for pod in page}
    return found


async def _away(cluster: Cluster) -> set[str]:
    """Return the nodes that are not ready."""
    found: set[str] = set()
    async for page in cluster.pages("Node"):
        found |= {node["metadata"]["name"] for node in page if not _is_ready(node)}
    return found


def _is_ready(node: Object) -> bool:
    conditions = node.get("status", {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
