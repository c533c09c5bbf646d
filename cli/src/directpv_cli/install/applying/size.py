"""How many of each to install where nobody said it: three; one on a cluster of one node."""

from collections.abc import Collection
from dataclasses import replace

from directpv_cli.install.applying.kube import Cluster
from directpv_cli.install.applying.takeover import UPSTREAM_ACCOUNT
from directpv_cli.install.objects import controller, nats
from directpv_cli.install.objects.options import Options
from directpv_cli.install.objects.paths import Ref


async def sized(cluster: Cluster, options: Options, chosen: Collection[str]) -> Options:
    """Return ``options`` for the cluster as it is. There are never fewer than before: nodes may be away for a while.

    Args:
        cluster: Where it will be.
        options: With three of each, or what was asked for.
        chosen: Flags whose numbers were asked for, and stay.

    Raises:
        DirectPVError: The cluster cannot be asked.
    """
    single = await _count_nodes(cluster) == 1
    servers = await _replicas(cluster, Ref("StatefulSet", nats.NAME))
    controllers = await _replicas(cluster, Ref("Deployment", controller.NAME))
    if "--nats-replicas" not in chosen:
        options = replace(options, nats_replicas=nats.SERVERS if servers > 1 or not single else 1)
    if "--controller-replicas" not in chosen:
        wanted = 1 if single else options.controller_replicas
        options = replace(options, controller_replicas=max(controllers, wanted))
    return options


async def _count_nodes(cluster: Cluster) -> int:
    """Count cordoned nodes, too: an upgrade is when nodes are drained."""
    names: set[str] = set()
    async for page in cluster.pages("Node"):
        names.update(node["metadata"]["name"] for node in page)
    return len(names)


async def _replicas(cluster: Cluster, ref: Ref) -> int:
    """Return how many of ours are wanted there now; upstream has three controllers on any cluster."""
    live = await cluster.get(ref)
    if live is None or live["spec"]["template"]["spec"].get("serviceAccountName") == UPSTREAM_ACCOUNT:
        return 0
    return int(live["spec"].get("replicas", 1))
