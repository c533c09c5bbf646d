"""What becomes of the PersistentVolumes and claims of volumes: decided, one volume after the other.

PersistentVolume      claim                       becomes
----------------      -----                       -------
is missing            is missing                  both are made, bound to each other
is missing            waits, or was bound to it   the PersistentVolume is made, kept for the claim
is missing            is bound to another         conflict
there, same node      whatever                    exists (made by a recovery that was cut short: finished)
there, other node     not used by a pod           made anew with the node where the drive is now
there, other node     used by a pod               conflict
there, not ours       whatever                    conflict
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

import directpv_common.protocol.messages as m
from directpv_cli.install.objects.base import Object
from directpv_cli.recovering.core.claims import claim_object, misfit
from directpv_cli.recovering.core.classes import facts_of
from directpv_cli.recovering.core.held import Held, is_of
from directpv_cli.recovering.core.rows import CHANGES, Action, Row
from directpv_common.crd import object_name
from directpv_common.crd.persistent_volumes import RETAIN, Claim, claim_of, is_within, node_affinity, pv_object
from directpv_common.protocol.names import GROUP

POLICY: Final = f"{GROUP}/reclaim-policy"
"""Annotation of a PersistentVolume that is being recovered: the policy that it gets once its claim is bound to it."""
PV, PVC, NAMESPACE = "PersistentVolume", "PersistentVolumeClaim", "Namespace"


@dataclass
class Steps:
    """What is done for one volume, in this order; None: nothing."""

    rows: list[Row] = field(default_factory=list)
    claim: Claim | None = None
    namespace: Object | None = None
    replaced: Object | None = None
    """A PersistentVolume that goes before :attr:`pv` is made."""
    pv: Object | None = None
    pvc: Object | None = None
    policy: str = ""
    """Reclaim policy that the PersistentVolume gets once it is bound; empty: it has it."""

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return any(row.action in CHANGES for row in self.rows)

    def tell(self, kind: str, name: str, action: Action, detail: str = "") -> None:
        """Add a row."""
        self.rows.append(Row(kind, name, action, detail))


@dataclass(frozen=True)
class Wishes:
    """What people say of what is not remembered."""

    claims: Mapping[str, Claim] = field(default_factory=dict)
    """By volume."""
    storage_class: str = ""

    def claim_of(self, record: m.VolumeRecord) -> Claim | None:
        """Return the claim of a volume; None: nobody knows."""
        kept = Claim(record.pvc_namespace, record.pvc_name)
        return self.claims.get(record.name) or (kept if all(kept) else None)


def plan(volumes: Iterable[m.VolumeInfo], held: Held, wishes: Wishes) -> list[Steps]:
    """Return what becomes of the objects of each volume; those that are being deleted have none."""
    wanted = [info for info in volumes if not info.record.deleting]
    missing = [info.record for info in wanted if not held.pointing_to(info.record.name)]
    times = Counter(wishes.claim_of(record) for record in missing)
    taken = {claim_of(pv): name for name, pv in held.pvs.items()}
    made: set[str] = set()
    found = []
    for info in wanted:
        steps = Steps()
        _plan_one(info, held, wishes, steps, times, taken)
        if steps.namespace is not None:
            name = steps.namespace["metadata"]["name"]
            if name in made:
                steps.namespace, steps.rows = None, [row for row in steps.rows if row.kind != NAMESPACE]
            made.add(name)
        found.append(steps)
    return found


def _plan_one(
    info: m.VolumeInfo,
    held: Held,
    wishes: Wishes,
    steps: Steps,
    times: Mapping[Claim | None, int],
    taken: Mapping[Claim | None, str],
) -> None:
    record, existing = info.record, held.pvs.get(info.record.name)
    name = held.pointing_to(record.name)
    if name and name != record.name:
        steps.tell(PV, name, Action.EXISTS, f"stands for volume {record.name}")
    elif existing is not None and not is_of(existing, record.name):
        steps.tell(PV, record.name, Action.CONFLICT, "exists, and stands for something else; nothing is done")
    elif existing is not None:
        _plan_existing(info, existing, held, wishes, steps)
    elif object_name(record.name) != record.name:
        steps.tell(PV, record.name, Action.CONFLICT, "this name of a volume cannot be that of an object")
    else:
        _plan_missing(info, held, wishes, steps, _dispute(wishes.claim_of(record), times, taken))


def _dispute(claim: Claim | None, times: Mapping[Claim | None, int], taken: Mapping[Claim | None, str]) -> str:
    """Return why it is not clear whose claim it is; empty if it is."""
    if claim is None:
        return "no claim is remembered; name it: --claim VOLUME=NAMESPACE/NAME"
    if claim in taken:
        return f"PersistentVolume {taken[claim]} is for its claim {claim} already; name another one with --claim"
    if times[claim] > 1:
        return f"{times[claim]} volumes remember claim {claim}; say with --claim which claims the others get"
    return ""


# ---- what is missing


def _plan_missing(info: m.VolumeInfo, held: Held, wishes: Wishes, steps: Steps, dispute: str) -> None:
    record, claim = info.record, wishes.claim_of(info.record)
    if claim is None or dispute:
        steps.tell(PV, record.name, Action.CONFLICT, dispute)
        return
    there = held.claims.get(claim)
    space = held.namespaces.get(claim.namespace)
    why = misfit(there, record) if there is not None else ""
    if space is not None and space["metadata"].get("deletionTimestamp"):
        why = f"namespace {claim.namespace} is being deleted; repeat when it is gone"
    if why:
        steps.tell(PV, record.name, Action.CONFLICT, f"claim {claim} {why}" if there is not None else why)
        return
    facts = facts_of(record, there, held.classes, wishes.storage_class)
    reference = _reference(claim, there)
    made = pv_object(record, info.topology, _retained(facts), reference)
    steps.claim, steps.pv, steps.policy = claim, made, _policy(made, facts.reclaim_policy)
    if space is None:
        steps.namespace = {"apiVersion": "v1", "kind": NAMESPACE, "metadata": {"name": claim.namespace}}
        steps.tell(NAMESPACE, claim.namespace, Action.CREATE)
    steps.tell(PV, record.name, Action.CREATE, _said(info, facts, known=record.pv is not None))
    _plan_claim(claim, there, record, facts, steps)


def _plan_claim(claim: Claim, there: Object | None, record: m.VolumeRecord, facts: m.KeptPv, steps: Steps) -> None:
    if there is None:
        steps.pvc = claim_object(claim, record, facts)
        steps.tell(PVC, str(claim), Action.CREATE, f"bound to {record.name}")
    else:
        steps.tell(PVC, str(claim), Action.EXISTS, f"is bound to {record.name} then")


def _reference(claim: Claim, there: Object | None) -> Object:
    """Return the ``claimRef``: of a claim that was bound to it, this very one."""
    reference = {"apiVersion": "v1", "kind": PVC, "namespace": claim.namespace, "name": claim.name}
    if there is not None and (there.get("spec") or {}).get("volumeName"):
        reference["uid"] = there["metadata"]["uid"]
    return reference


def _retained(facts: m.KeptPv) -> m.KeptPv:
    """Return the facts with a policy by which nothing deletes data while the objects are being made."""
    return msgspec.structs.replace(facts, reclaim_policy=RETAIN)


def _policy(pv: Object, wanted: str) -> str:
    """Note on ``pv``, which has Retain, which policy it gets; return it."""
    if wanted == RETAIN:
        return ""
    pv["metadata"]["annotations"] = {**(pv["metadata"].get("annotations") or {}), POLICY: wanted}
    return wanted


def _said(info: m.VolumeInfo, facts: m.KeptPv, *, known: bool) -> str:
    guess = "" if known else ", guessed"
    return f"on node {info.node}, class {facts.storage_class}{guess}, reclaim policy {facts.reclaim_policy}"


# ---- what exists


def _plan_existing(info: m.VolumeInfo, pv: Object, held: Held, wishes: Wishes, steps: Steps) -> None:
    record, claim = info.record, claim_of(pv)
    moved = not is_within(info.topology, pv["spec"].get("nodeAffinity"))
    there = held.claims.get(claim) if claim is not None else None
    begun = POLICY in (pv["metadata"].get("annotations") or {})
    if pv["metadata"].get("deletionTimestamp") and not (begun and moved):
        steps.tell(PV, record.name, Action.CONFLICT, "is being deleted; repeat when it is gone")
    elif moved:
        _plan_replacement(info, pv, claim, there, held, steps)
    elif claim is not None and there is None and "uid" not in pv["spec"]["claimRef"]:
        _plan_unclaimed(info, pv, claim, held, wishes, steps)
    elif begun:
        steps.claim, steps.policy = claim, pv["metadata"]["annotations"][POLICY]
        steps.tell(PV, record.name, Action.FINISH, f"reclaim policy {steps.policy}, as it was, once it is bound")
    else:
        gone = claim is not None and there is None
        steps.tell(PV, record.name, Action.EXISTS, f"its claim {claim} was deleted" if gone else "")


def _plan_unclaimed(info: m.VolumeInfo, pv: Object, claim: Claim, held: Held, wishes: Wishes, steps: Steps) -> None:
    """A recovery was cut short between the two: the claim is missing that the PersistentVolume is kept for."""
    facts = facts_of(info.record, None, held.classes, pv["spec"].get("storageClassName") or wishes.storage_class)
    steps.claim = claim
    steps.policy = (pv["metadata"].get("annotations") or {}).get(POLICY, "")
    if claim.namespace not in held.namespaces:
        steps.namespace = {"apiVersion": "v1", "kind": NAMESPACE, "metadata": {"name": claim.namespace}}
        steps.tell(NAMESPACE, claim.namespace, Action.CREATE)
    steps.tell(PV, info.record.name, Action.EXISTS, f"is kept for claim {claim}")
    _plan_claim(claim, None, info.record, facts, steps)


def _plan_replacement(
    info: m.VolumeInfo, pv: Object, claim: Claim | None, there: Object | None, held: Held, steps: Steps
) -> None:
    name = info.record.name
    if claim is None or there is None:
        steps.tell(PV, name, Action.EXISTS, f"its claim is gone; it names another node than {info.node}: delete it")
        return
    if pods := held.pods.get(claim, ()):
        steps.tell(
            PV,
            name,
            Action.CONFLICT,
            f"names another node than {info.node}, and pod {', '.join(pods)} uses it; delete the pod, then repeat",
        )
        return
    notes = dict(pv["metadata"].get("annotations") or {})
    kept = notes.pop(POLICY, "") or pv["spec"]["persistentVolumeReclaimPolicy"]
    meta = {"name": name, "labels": pv["metadata"].get("labels") or {}, "annotations": notes}
    spec = {**pv["spec"], "nodeAffinity": node_affinity(info.topology), "persistentVolumeReclaimPolicy": RETAIN}
    steps.pv = {"apiVersion": "v1", "kind": PV, "metadata": meta, "spec": spec}
    steps.claim, steps.replaced, steps.policy = claim, pv, _policy(steps.pv, kept)
    steps.tell(PV, name, Action.REPLACE, f"its drive is in node {info.node} now")
    steps.tell(PVC, str(claim), Action.EXISTS, "is bound to it again")
