"""Takes away what an earlier installation put there, and the flags of this one do not install.

Definitions, the namespace, the class and the driver's registration are never among it.
"""

from collections.abc import Sequence
from typing import Final

from directpv_cli.install.applying import removal
from directpv_cli.install.applying.apply import Outcome
from directpv_cli.install.applying.kube import Cluster
from directpv_cli.install.applying.takeover import LEFTOVERS, LEGACY
from directpv_cli.install.objects.base import MANAGER, Object
from directpv_cli.install.objects.paths import Ref
from directpv_common.protocol.names import CREATED_BY

OPTIONAL: Final = tuple(ref for ref in (*removal.WORKLOADS, *removal.IN_NAMESPACE) if ref not in (*LEFTOVERS, *LEGACY))
"""Upstream's account and what serves DirectCSI go by rules of their own."""


async def prune(cluster: Cluster, items: Sequence[Object], outcome: Outcome) -> None:
    """Delete every optional object of ours that is not among ``items``; call it once all of these are in.

    Raises:
        DirectPVError: Names the object.
    """
    wanted = {Ref.of(item) for item in items}
    for ref in OPTIONAL:
        if ref not in wanted and await _is_ours(cluster, ref) and await cluster.delete(ref):
            outcome.removed.append(ref)


async def _is_ours(cluster: Cluster, ref: Ref) -> bool:
    live = await cluster.get(ref)
    return live is not None and (live["metadata"].get("labels") or {}).get(CREATED_BY) == MANAGER
