"""Reads from Kubernetes what a plan needs to know, with the rights of who asks."""

from collections.abc import AsyncIterator, Iterable

import directpv_common.protocol.messages as m
from directpv_cli.install.applying.kube import Cluster
from directpv_cli.install.objects.base import Object
from directpv_cli.install.objects.paths import PLACES
from directpv_cli.recovering.core.held import Held
from directpv_cli.recovering.core.objects import NAMESPACE, PV, PVC, Wishes
from directpv_common.crd.persistent_volumes import Claim, claim_of
from directpv_common.protocol.names import DRIVER_NAME

_ENDED = ("Succeeded", "Failed")


async def read(cluster: Cluster, volumes: Iterable[m.VolumeInfo], wishes: Wishes) -> Held:
    """Return what there is of the objects that these volumes may need.

    Raises:
        DirectPVError: It cannot be read; says what, and whether rights are missing.
    """
    records = [info.record for info in volumes if not info.record.deleting]
    wanted = {record.name for record in records}
    pvs = {name_of(pv): pv async for pv in _all(cluster, PV) if _matters(pv, wanted)}
    claims = {claim for claim in [*map(wishes.claim_of, records), *map(claim_of, pvs.values())] if claim is not None}
    spaces = {claim.namespace for claim in claims}
    return Held(
        pvs=pvs,
        claims={
            Claim(space, name_of(found)): found for space in sorted(spaces) async for found in _all(cluster, PVC, space)
        },
        namespaces={name_of(found): found async for found in _all(cluster, NAMESPACE) if name_of(found) in spaces},
        classes={
            name_of(found): found
            async for found in _all(cluster, "StorageClass")
            if found.get("provisioner") == DRIVER_NAME
        },
        pods=await _pods(cluster, spaces),
    )


def _matters(pv: Object, wanted: set[str]) -> bool:
    driver = ((pv.get("spec") or {}).get("csi") or {}).get("driver")
    return driver == DRIVER_NAME or name_of(pv) in wanted


async def _pods(cluster: Cluster, namespaces: Iterable[str]) -> dict[Claim, tuple[str, ...]]:
    """Return the pods that are on a node and use a claim."""
    found: dict[Claim, tuple[str, ...]] = {}
    for space in sorted(namespaces):
        async for pod in _all(cluster, "Pod", space):
            node = pod["spec"].get("nodeName")
            if not node or (pod.get("status") or {}).get("phase") in _ENDED:
                continue
            for volume in pod["spec"].get("volumes") or ():
                if name := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
                    claim = Claim(space, name)
                    found[claim] = (*found.get(claim, ()), f"{name_of(pod)} on {node}")
    return found


async def _all(cluster: Cluster, kind: str, namespace: str = "") -> AsyncIterator[Object]:
    path = PLACES[kind].path(namespace=namespace) if namespace else ""
    async for page in cluster.pages(kind, path=path):
        for item in page:
            yield item


def name_of(item: Object) -> str:
    """Return the name of an object."""
    return str(item["metadata"]["name"])
