"""Installing over what is there: an earlier version of ours, or upstream's. Decisions only; no I/O.

Server-side apply leaves alone what others own, so upstream's containers would stay beside ours in the same DaemonSet.
Therefore the ownership that earlier installers had becomes ours first; what we do not apply goes away then.

Source: Kubernetes, "Server-Side Apply", section "Migrate from client-side apply"; fields of FieldsV1.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from directpv_cli.install.objects.base import MANAGER, Object
from directpv_cli.install.objects.paths import Ref
from directpv_common.protocol.names import DRIVER_NAME

PREDECESSORS: Final = frozenset(
    {"kubectl-client-side-apply", "kubectl-create", "kubectl-replace", "kubectl", "before-first-apply"}
)
"""Managers whose fields in objects of these names are an installer's: kubectl with its YAML."""
WORKLOADS: Final = ("DaemonSet", "Deployment", "StatefulSet")
POD_LISTS: Final = ("initContainers", "containers", "volumes")
RESTART: Final = ("f:spec", "f:template", "f:metadata", "f:annotations", "f:kubectl.kubernetes.io/restartedAt")
"""Path of what ``kubectl rollout restart`` writes; to take it away would restart the pods once more."""
UPSTREAM_ACCOUNT: Final = DRIVER_NAME
LEFTOVERS: Final = (
    Ref("RoleBinding", DRIVER_NAME),
    Ref("Role", DRIVER_NAME),
    Ref("ClusterRoleBinding", DRIVER_NAME),
    Ref("ClusterRole", DRIVER_NAME),
    Ref("ServiceAccount", DRIVER_NAME),
)
"""Upstream's one account and its rights, which no pod of ours uses; bindings first."""
LEGACY: Final = (Ref("DaemonSet", "legacy-node-server"), Ref("Deployment", "legacy-controller"))
"""What serves volumes of DirectCSI under its own name, with upstream's account."""


def adopted_fields(item: Object, live: Object) -> list[Object] | None:
    """Return ``managedFields`` in which what others own of ``item`` is ours; None if there is nothing to adopt."""
    entries = live["metadata"].get("managedFields") or []
    ours = next((entry for entry in entries if _is_ours(entry)), None)
    before: Object = ours["fieldsV1"] if ours else {}
    fields, rest = before, []
    for entry in entries:
        if entry is ours:
            continue
        taken, left = _split(item["kind"], entry)
        fields = _union(fields, taken)
        if left or not taken:
            rest.append({**entry, "fieldsV1": left} if taken else entry)
    fields = _union(fields, _claims(item, live)) if entries else fields
    if fields == before and rest == [entry for entry in entries if entry is not ours]:
        return None
    return [_entry(item, entries, fields), *rest]


def _entry(item: Object, entries: list[Object], fields: Object) -> Object:
    return {
        "manager": MANAGER,
        "operation": "Apply",
        "apiVersion": item["apiVersion"],
        "time": max(entry.get("time", "") for entry in entries),
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }


def _split(kind: str, entry: Object) -> tuple[Object, Object]:
    """Return what becomes ours of a manager's fields, and what stays with the manager.

    The definition of a workload is ours whoever wrote it: a plugin under another file name, Argo CD, Flux, Helm.
    Labels and annotations stay: a class that an administrator made the default one must stay it.
    """
    fields: Object = entry.get("fieldsV1") or {}
    if entry.get("subresource") or not (kind in WORKLOADS or _is_predecessor(entry)):
        return {}, fields
    taken = {key: value for key, value in fields.items() if key not in ("f:metadata", "f:status")}
    left = {key: value for key, value in fields.items() if key not in taken}
    finalizers = fields.get("f:metadata", {}).get("f:finalizers")
    if finalizers is not None and _is_predecessor(entry):
        taken["f:metadata"] = {"f:finalizers": finalizers}
        left = _without(left, ("f:metadata", "f:finalizers"))
    taken = _without(taken, RESTART)
    return (taken, left) if taken else ({}, fields)


def _without(fields: Object, path: Sequence[str]) -> Object:
    """Return ``fields`` without those at ``path``, and without what is empty then."""
    head, *rest = path
    if head not in fields:
        return fields
    inner = _without(fields[head], rest) if rest else {}
    others = {key: value for key, value in fields.items() if key != head}
    return {**others, head: inner} if inner else others


def strangers(item: Object, live: Object) -> list[tuple[str, str]]:
    """Return lists of the pods' definition, and names in them, that the live workload has and ``item`` has not."""
    if item["kind"] not in WORKLOADS:
        return []
    ours, theirs = (each["spec"]["template"]["spec"] for each in (item, live))
    found = []
    for key in POD_LISTS:
        known = {each["name"] for each in ours.get(key) or []}
        found += [(key, each["name"]) for each in theirs.get(key) or [] if each["name"] not in known]
    return found


def _claims(item: Object, live: Object) -> Object:
    """Return fields by which strangers are ours, also those that no manager owns."""
    fields: Object = {}
    for key, name in strangers(item, live):
        which = f"k:{json.dumps({'name': name}, separators=(',', ':'))}"
        fields = _union(fields, {"f:spec": {"f:template": {"f:spec": {f"f:{key}": {which: {".": {}}}}}}})
    return fields


def bare(item: Object) -> Object:
    """Return the object without a single field: applied, it gives up what an earlier apply of ours set."""
    named = {key: value for key, value in item["metadata"].items() if key in ("name", "namespace", "uid")}
    return {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": named}


def helm_release(live: Object) -> str:
    """Return the Helm release that the object belongs to; empty if none."""
    return str((live["metadata"].get("annotations") or {}).get("meta.helm.sh/release-name", ""))


def _is_predecessor(entry: Object) -> bool:
    """Tell whether an installer wrote this; upstream's plugin is a manager under the name of its file."""
    manager: str = entry["manager"]
    return not _is_ours(entry) and (manager in PREDECESSORS or manager.startswith(MANAGER))


def _is_ours(entry: Object) -> bool:
    return entry["operation"] == "Apply" and entry["manager"] == MANAGER and not entry.get("subresource")


def _union(one: Mapping[str, Any], other: Mapping[str, Any]) -> Object:
    both = {key: _union(one[key], other[key]) for key in one.keys() & other.keys()}
    return {**one, **other, **both}


def must_be_replaced(item: Object, live: Object) -> str:
    """Tell why the live object cannot become ``item`` by a change; empty if it can.

    A Deployment of upstream's is replaced although it could be changed: old and new controllers place volumes by
    different rules, and should not overlap for a roll-out's time.
    """
    kind = item["kind"]
    if kind not in WORKLOADS:
        return ""
    if live["spec"]["selector"] != item["spec"]["selector"]:
        return "its selector cannot be changed"
    account = live["spec"]["template"]["spec"].get("serviceAccountName", "")
    if kind == "Deployment" and account == UPSTREAM_ACCOUNT:
        return "its controllers place volumes by other rules"
    return ""


def is_rolled_out(live: Object) -> bool:
    """Tell whether every pod of a DaemonSet, Deployment or StatefulSet is of its present template, and ready."""
    status, generation = live.get("status", {}), live["metadata"].get("generation", 0)
    if status.get("observedGeneration", 0) < generation:
        return False
    if live["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        updated, ready = status.get("updatedNumberScheduled", 0), status.get("numberReady", 0)
    else:
        wanted = live["spec"].get("replicas", 1)
        updated, ready = status.get("updatedReplicas", 0), status.get("readyReplicas", 0)
        if status.get("replicas", 0) > wanted:
            return False
    return bool(updated >= wanted and ready >= wanted)
