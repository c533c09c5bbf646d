"""Installing over what is there: an earlier version of ours, or upstream's. Decisions only; no I/O.

Server-side apply leaves alone what others own, so upstream's containers would stay beside ours in the same DaemonSet.
Therefore the ownership that earlier installers had becomes ours first; what we do not apply goes away then.

Source: Kubernetes, "Server-Side Apply", section "Migrate from client-side apply"; fields of FieldsV1.
"""

from collections.abc import Mapping
from typing import Any, Final

from directpv_cli.install.base import MANAGER, Object
from directpv_cli.install.paths import Ref
from directpv_common.names import DRIVER_NAME

PREDECESSORS: Final = frozenset(
    {MANAGER, "kubectl-client-side-apply", "kubectl-create", "kubectl-replace", "kubectl", "before-first-apply"}
)
"""Managers whose fields in objects of these names are an installer's: upstream's plugin, and kubectl with its YAML."""
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


def adopted_fields(live: Object) -> list[Object] | None:
    """Return ``managedFields`` in which what predecessors own is ours; None if there is nothing to adopt."""
    entries = live["metadata"].get("managedFields") or []
    theirs = [entry for entry in entries if _is_predecessor(entry)]
    if not theirs:
        return None
    rest = [entry for entry in entries if not _is_predecessor(entry)]
    ours = next((entry for entry in rest if _is_ours(entry)), None)
    fields: Object = dict(ours["fieldsV1"]) if ours else {}
    for entry in theirs:
        fields = _union(fields, _adoptable(entry.get("fieldsV1") or {}))
    adopted = {
        "manager": MANAGER,
        "operation": "Apply",
        "apiVersion": theirs[0]["apiVersion"],
        "time": max(entry.get("time", "") for entry in theirs),
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    return [adopted, *(entry for entry in rest if entry is not ours)]


def _adoptable(fields: Object) -> Object:
    """Leave out labels and annotations: a class that an administrator made the default one must stay it."""
    meta = {key: value for key, value in fields.get("f:metadata", {}).items() if key == "f:finalizers"}
    return {
        **{key: value for key, value in fields.items() if key != "f:metadata"},
        **({"f:metadata": meta} if meta else {}),
    }


def _is_predecessor(entry: Object) -> bool:
    return entry["operation"] == "Update" and entry["manager"] in PREDECESSORS and not entry.get("subresource")


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
    if kind not in ("DaemonSet", "Deployment", "StatefulSet"):
        return ""
    if live["spec"]["selector"] != item["spec"]["selector"]:
        return "its selector cannot be changed"
    account = live["spec"]["template"]["spec"].get("serviceAccountName", "")
    if kind == "Deployment" and account == UPSTREAM_ACCOUNT:
        return "its controllers place volumes by other rules"
    return ""


def fitted(item: Object, live: Object | None) -> Object:
    """Return ``item`` with what can never change taken from the live object.

    Upstream's CSIDriver also lists ``Ephemeral``. To replace it would leave the cluster without a CSIDriver for a
    moment, in which Kubernetes takes the driver for one that attaches; the entry does no harm.
    """
    if live is None or item["kind"] != "CSIDriver":
        return item
    modes = live["spec"].get("volumeLifecycleModes") or item["spec"]["volumeLifecycleModes"]
    return {**item, "spec": {**item["spec"], "volumeLifecycleModes": modes}}


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
