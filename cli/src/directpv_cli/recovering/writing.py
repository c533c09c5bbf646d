"""Carries out what was planned for one volume after the other; what exists is never overwritten.

Killed anywhere, a repeat plans anew from what is there then. Until a claim is bound its PersistentVolume has the policy
Retain, so that whatever becomes of the claim deletes no data.
"""

import asyncio
import contextlib
from typing import Final

from directpv_cli.install.applying.kube import Cluster
from directpv_cli.install.objects.base import Object
from directpv_cli.install.objects.paths import PLACES, Ref
from directpv_cli.recovering.core.held import is_of
from directpv_cli.recovering.core.objects import POLICY, PV, PVC, Steps
from directpv_cli.recovering.reading import name_of
from directpv_common.calls.scopes import timeout
from directpv_common.crd.persistent_volumes import RETAIN, Claim
from directpv_common.protocol.errors import Conflict, DeadlineExceeded, NotFound

GONE_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.2


async def carry_out(cluster: Cluster, steps: Steps) -> None:
    """Make what is planned for one volume.

    Raises:
        DirectPVError: Something could not be made; names it. What was made stays, and a repeat goes on.
    """
    if steps.namespace is not None:
        with contextlib.suppress(Conflict):
            await _create(cluster, steps.namespace)
    if steps.replaced is not None:
        await _take_away(cluster, steps.replaced)
    if steps.pv is not None:
        await _create_pv(cluster, steps.pv)
    if steps.pvc is not None:
        await _create(cluster, steps.pvc)


async def finish(cluster: Cluster, steps: Steps, within: float) -> None:
    """Wait until the claim is bound, and give its PersistentVolume the reclaim policy that it had.

    Raises:
        DeadlineExceeded: It is not bound in time; says what Kubernetes says of it.
        DirectPVError: It cannot be looked at.
    """
    if steps.claim is None or not steps.changes:
        return
    bound = await _bound(cluster, steps.claim, within)
    if steps.policy:
        body = {
            "metadata": {"annotations": {POLICY: None}},
            "spec": {"persistentVolumeReclaimPolicy": steps.policy},
        }
        await cluster.patch(Ref(PV, bound), body)


async def _bound(cluster: Cluster, claim: Claim, within: float) -> str:
    """Wait until a claim is bound; return the name of its PersistentVolume."""
    path, phase = PLACES[PVC].path(claim.name, claim.namespace), "missing"
    with contextlib.suppress(TimeoutError):
        async with timeout(within):
            while True:
                with contextlib.suppress(NotFound):
                    found = await cluster.call("GET", path, about=f"{PVC} {claim}")
                    phase = (found.get("status") or {}).get("phase") or "Pending"
                    if phase == "Bound":
                        return str(found["spec"]["volumeName"])
                await asyncio.sleep(POLL_SECONDS)
    raise DeadlineExceeded(
        f"claim {claim} is {phase}, and not bound after {within:g} s; look at: kubectl -n {claim.namespace} describe "
        f"pvc {claim.name}"
    )


async def _take_away(cluster: Cluster, pv: Object) -> None:
    """Delete a PersistentVolume whose data stays: the policy first, and its finalizers last."""
    ref = Ref(PV, name_of(pv))
    if not pv["metadata"].get("deletionTimestamp"):
        notes = pv["metadata"].get("annotations") or {}
        policy = notes.get(POLICY) or pv["spec"]["persistentVolumeReclaimPolicy"]
        body = {
            "metadata": {"annotations": {POLICY: policy}, "resourceVersion": pv["metadata"]["resourceVersion"]},
            "spec": {"persistentVolumeReclaimPolicy": RETAIN},
        }
        await cluster.patch(ref, body)  # refused if somebody has changed it since it was looked at
        await cluster.delete(ref)
    with contextlib.suppress(NotFound):
        await cluster.patch(ref, {"metadata": {"finalizers": None}})
    if not await cluster.gone(ref, GONE_SECONDS):
        raise DeadlineExceeded(f"{ref} is still there after {GONE_SECONDS:g} s; repeat")


async def _create_pv(cluster: Cluster, pv: Object) -> None:
    """Make a PersistentVolume; one that is there and stands for the volume, as after a lost answer, will do."""
    try:
        await _create(cluster, pv)
    except Conflict:
        found = await cluster.get(Ref.of(pv))
        if found is None or not is_of(found, name_of(pv)):
            raise


async def _create(cluster: Cluster, item: Object) -> None:
    """Make an object.

    Raises:
        Conflict: There is one of this name.
    """
    meta = item["metadata"]
    path = PLACES[item["kind"]].path(namespace=meta.get("namespace", ""))
    await cluster.call("POST", path, body=item, about=f"{item['kind']} {name_of(item)}")
