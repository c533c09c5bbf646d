"""Pods of the version before, which show nothing: known by their address, until each has been replaced.

So an upgrade cuts nobody off for longer than until the first controller of this version runs, and nothing has to be
closed behind it: there are no such pods any more then.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from directpv_common.access.roles import Access, Role, access
from directpv_common.protocol.names import BUS_CA_VOLUME, BUS_VOLUME, CONTROLLER_POD, NODE_POD, SELECTOR
from directpv_common.protocol.subjects import Subjects
from directpv_controller.admission.core.decisions import LEAF, Admitted, Refused
from directpv_controller.admission.core.links import FORMER_CONTROLLER, FORMER_NODE

INBOXES: Final = ("_INBOX.*", "_INBOX.*.*")
"""Of former programs; those of today's have one part more."""


def admit_former(
    kind: str, name: str, pods: Iterable[Mapping[str, Any]], subjects: Subjects
) -> tuple[Admitted, str] | Refused:
    """Return what becomes of who shows nothing, and the node that must be alive for it.

    Args:
        kind: Of the connection, ``Client`` or ``Leafnode``.
        name: As he calls himself.
        pods: Of the installation's namespace, that have his address. Source: Kubernetes, Pod.
        subjects: Of the installation.
    """
    for pod in pods:
        label, node = _label(pod), pod["spec"].get("nodeName") or ""
        if not _runs(pod, BUS_VOLUME) or not node:
            continue
        if label == NODE_POD and kind == LEAF and name == node:
            may = access((Role.LEAF,), subjects, node=node)
            return Admitted(FORMER_NODE, Access(may.publish, (*may.subscribe, *INBOXES))), node
        if label == CONTROLLER_POD and kind != LEAF:
            may = access((Role.CONTROLLER, Role.GATEWAY), subjects)
            return Admitted(FORMER_CONTROLLER, Access((*may.publish, "_INBOX.>"), (*may.subscribe, *INBOXES))), node
    return Refused("shows no key and no token")


def clear_nodes(pods: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the nodes of those among ``pods``, which have one address, that are of a version without TLS."""
    found = [pod["spec"].get("nodeName") or "" for pod in pods if _label(pod) == NODE_POD and _runs(pod, BUS_CA_VOLUME)]
    return [node for node in found if node]


def is_lost(node: Mapping[str, Any]) -> bool:
    """Tell whether Kubernetes has lost a node: nobody knows whether its pods run, or who has their addresses.

    Source: Kubernetes, "Node status": ``Ready`` is ``Unknown`` if the node was not heard for 50 s.
    """
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == "Ready" and each.get("status") == "Unknown" for each in conditions)


def _label(pod: Mapping[str, Any]) -> str:
    return str((pod["metadata"].get("labels") or {}).get(SELECTOR, ""))


def _runs(pod: Mapping[str, Any], lacks: str) -> bool:
    """Tell whether a pod of a version whose pods lack a volume has its address: those that ended give it away."""
    volumes = {volume.get("name") for volume in pod["spec"].get("volumes") or ()}
    if lacks in volumes or pod["spec"].get("hostNetwork"):
        return False
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
