"""Takes an installation out of a cluster. Data stay, unless everything is asked for."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from directpv_cli.install.applying import takeover
from directpv_cli.install.applying.kube import Cluster
from directpv_cli.install.applying.takeover import LEFTOVERS, LEGACY
from directpv_cli.install.objects import controller, nats, node, rbac
from directpv_cli.install.objects.base import NAMESPACE, SELECTOR, Object
from directpv_cli.install.objects.paths import Ref
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition, NotFound
from directpv_common.protocol.names import (
    ADMINISTRATOR_ACCOUNT,
    BUS_CA,
    BUS_KEY_LABEL,
    CREATED_BY,
    DRIVER_NAME,
    GROUP,
    OBSERVER_ACCOUNT,
)

GONE_SECONDS: Final = 120.0
PARALLEL: Final = 16
RECORDS: Final = ("DirectPVVolume", "DirectPVDrive", "DirectPVNode", "DirectPVInitRequest")
DEFINITIONS: Final = tuple(
    Ref("CustomResourceDefinition", f"{plural}.{GROUP}")
    for plural in ("directpvvolumes", "directpvdrives", "directpvnodes", "directpvinitrequests")
)
WORKLOADS: Final = (
    Ref("Deployment", controller.NAME),
    Ref("DaemonSet", node.NAME),
    Ref("StatefulSet", nats.NAME),
    *LEGACY,
)
LEGACY_DRIVER: Final = "direct-csi-min-io"
CLUSTER_WIDE: Final = (
    Ref("ClusterRoleBinding", rbac.CONTROLLER),
    Ref("ClusterRole", rbac.CONTROLLER),
    *(ref for ref in LEFTOVERS if ref.kind.startswith("Cluster")),
    Ref("StorageClass", DRIVER_NAME),
    Ref("CSIDriver", DRIVER_NAME),
    Ref("StorageClass", LEGACY_DRIVER),
    Ref("CSIDriver", LEGACY_DRIVER),
)
IN_NAMESPACE: Final = (
    *(Ref("RoleBinding", f"{name}-scc") for name in (rbac.CONTROLLER, rbac.NODE, rbac.NATS)),
    Ref("RoleBinding", rbac.CONTROLLER),
    Ref("Role", rbac.CONTROLLER),
    *(Ref("Role", name) for name in (ADMINISTRATOR_ACCOUNT, OBSERVER_ACCOUNT)),
    *(ref for ref in LEFTOVERS if not ref.kind.startswith("Cluster")),
    *(Ref("ServiceAccount", name) for name in (rbac.CONTROLLER, rbac.NODE, rbac.NATS)),
    *(Ref("ServiceAccount", name) for name in (ADMINISTRATOR_ACCOUNT, OBSERVER_ACCOUNT)),
    Ref("PodDisruptionBudget", controller.NAME),
    Ref("PodDisruptionBudget", nats.NAME),
    Ref("NetworkPolicy", nats.NAME),
    Ref("Service", nats.NAME),
    Ref("Service", nats.HEADLESS),
    Ref("ConfigMap", nats.NAME),
    Ref("ConfigMap", nats.LEAF),
)

MADE_BESIDE: Final = (Ref("Secret", nats.SECRET), Ref("ConfigMap", BUS_CA))
"""What is made once, and is none of the objects that an installation applies."""

Done = Callable[[str], None]


@dataclass
class Removal:
    """What came of it."""

    removed: list[Ref] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    records: int = 0


async def uninstall(cluster: Cluster, done: Done, *, dangerous: bool = False, within: float = GONE_SECONDS) -> Removal:
    """Remove everything that an installation put there; what is missing is fine.

    Without ``dangerous``, custom resources and their definitions stay, so that a later installation finds every drive
    and volume. Mounts of running pods stay in either case.
    """
    removal = Removal()
    for ref in WORKLOADS:
        await _delete(cluster, ref, removal)
    if dangerous:
        if not await _stopped(cluster, removal, within):
            return removal
        await _remove_records(cluster, removal, done)
    for ref in (*CLUSTER_WIDE, *IN_NAMESPACE, *MADE_BESIDE, *await _keys(cluster, removal)):
        await _delete(cluster, ref, removal)
    await _leave_namespace(cluster, removal)
    await _all_gone(cluster, removal, within)
    return removal


async def _keys(cluster: Cluster, removal: Removal) -> list[Ref]:
    """Return what the controllers kept of nodes' keys: they are good with a secret that goes, too."""
    found: list[Ref] = []
    try:
        async for page in cluster.pages("ConfigMap", selector=BUS_KEY_LABEL):
            found += [Ref("ConfigMap", item["metadata"]["name"]) for item in page]
    except DirectPVError as error:
        removal.failures.append(error.message)
    return found


async def _leave_namespace(cluster: Cluster, removal: Removal) -> None:
    """Delete the namespace if an installer made it. Another one may hold more than ours, and loses our labels only."""
    space = Ref("Namespace", NAMESPACE)
    try:
        live = await cluster.get(space)
        if live is not None and CREATED_BY not in (live["metadata"].get("labels") or {}):
            await cluster.apply(takeover.bare(live))
            return
    except DirectPVError as error:
        removal.failures.append(error.message)
        return
    await _delete(cluster, space, removal)


async def _delete(cluster: Cluster, ref: Ref, removal: Removal) -> None:
    try:
        if ref.kind == "Deployment":
            await unprotect(cluster, ref)
        if await cluster.delete(ref):
            removal.removed.append(ref)
    except DirectPVError as error:
        removal.failures.append(error.message)


async def unprotect(cluster: Cluster, ref: Ref) -> None:
    """Take the finalizer away by which old versions of upstream kept their Deployment."""
    live = await cluster.get(ref)
    finalizers = (live or {}).get("metadata", {}).get("finalizers") or []
    kept = [each for each in finalizers if each != f"{DRIVER_NAME}/delete-protection"]
    if kept != finalizers:
        await cluster.patch(ref, {"metadata": {"finalizers": kept}})


async def _stopped(cluster: Cluster, removal: Removal, within: float) -> bool:
    """Wait until no pod of ours runs: a controller or node would write the records again that are deleted now."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while True:
        running: list[str] = []
        try:
            async for page in cluster.pages("Pod", selector=SELECTOR):
                running += [pod["metadata"]["name"] for pod in page if _runs(pod)]
        except DirectPVError as error:
            removal.failures.append(error.message)
            return False
        if not running:
            return True
        if loop.time() >= end:
            removal.failures.append(
                f"{len(running)} pods of namespace {NAMESPACE} still run ({running[0]}); no record was deleted, for "
                "they would write it again: repeat when they are gone"
            )
            return False
        await asyncio.sleep(1.0)


def _runs(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")


async def _remove_records(cluster: Cluster, removal: Removal, done: Done) -> None:
    """Delete all custom resources, whatever protects them, then their definitions."""
    turns = asyncio.Semaphore(PARALLEL)

    async def remove(kind: str, name: str) -> None:
        ref = Ref(kind, name)
        async with turns:
            try:
                await cluster.patch(ref, {"metadata": {"finalizers": None}})
                await cluster.delete(ref)
                removal.records += 1
            except NotFound:
                return
            except DirectPVError as error:
                removal.failures.append(error.message)

    for kind in RECORDS:
        try:
            async for page in cluster.pages(kind):
                await asyncio.gather(*(remove(kind, item["metadata"]["name"]) for item in page))
        except DirectPVError as error:
            removal.failures.append(error.message)
        done(kind)
    if not removal.failures:
        for ref in DEFINITIONS:
            await _delete(cluster, ref, removal)


async def _all_gone(cluster: Cluster, removal: Removal, within: float) -> None:
    """Wait until what was deleted is gone, all of it for ``within`` seconds; an installation can follow then."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    for ref in removal.removed:
        try:
            if not await cluster.gone(ref, max(1.0, end - loop.time())):
                raise FailedPrecondition(f"{ref} is being deleted, but was not gone within {within:.0f} s")
        except DirectPVError as error:
            removal.failures.append(error.message)
