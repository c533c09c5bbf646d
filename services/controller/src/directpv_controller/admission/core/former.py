"""Pods of the version before, which show nothing: known by their address, until each has been replaced.

So an upgrade cuts nobody off for longer than until the first controller of this version runs, and nothing has to be
closed behind it: there are no such pods any more then.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from directpv_common.access.claims import Request
from directpv_common.access.roles import Access, Role, access
from directpv_common.protocol.names import BUS_VOLUME, CONTROLLER_POD, NODE_POD, SELECTOR
from directpv_common.protocol.subjects import Subjects
from directpv_controller.admission.core.decisions import LEAF, Admitted, Refused

INBOXES: Final = ("_INBOX.*", "_INBOX.*.*")
"""Of former programs; those of today's have one part more."""


def admit_former(request: Request, pods: Iterable[Mapping[str, Any]], subjects: Subjects) -> Admitted | Refused:
    """Return what becomes of who shows nothing.

    Args:
        request: Without key and token.
        pods: Of the installation's namespace, that have his address. Source: Kubernetes, Pod.
        subjects: Of the installation.
    """
    for pod in pods:
        kind = (pod["metadata"].get("labels") or {}).get(SELECTOR)
        volumes = {volume.get("name") for volume in pod["spec"].get("volumes") or ()}
        ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")  # their addresses are given away
        if BUS_VOLUME in volumes or pod["spec"].get("hostNetwork") or ended:
            continue
        if kind == NODE_POD and request.kind == LEAF and request.name == pod["spec"].get("nodeName"):
            may = access((Role.LEAF,), subjects, node=request.name)
            return Admitted(f"former node {request.name}", Access(may.publish, (*may.subscribe, *INBOXES)))
        if kind == CONTROLLER_POD and request.kind != LEAF:
            may = access((Role.CONTROLLER, Role.GATEWAY), subjects)
            return Admitted("former controller", Access((*may.publish, "_INBOX.>"), (*may.subscribe, *INBOXES)))
    return Refused("shows no key and no token")
