"""What Kubernetes says about pods of the version before: who has an address, and whether his node is alive."""

from directpv_common.protocol.subjects import Subjects
from directpv_controller.admission.answers import Answers
from directpv_controller.admission.core.decisions import Admitted, Refused
from directpv_controller.admission.core.former import admit_former, clear_nodes, is_lost
from directpv_controller.registry.kubernetes.apiserver.errors import Missing


async def admitted_former(
    answers: Answers, kind: str, name: str, address: str, subjects: Subjects
) -> Admitted | Refused:
    """Return what becomes of who shows nothing; arguments as of :func:`~.core.former.admit_former`.

    Raises:
        DirectPVError: Kubernetes does not answer.
    """
    verdict = admit_former(kind, name, await answers.pods_at(address), subjects)
    if isinstance(verdict, Refused):
        return verdict
    admitted, node = verdict
    lost = await _lost(answers, node)
    return Refused(f"shows nothing, and the node {node} of the pod that has his address is lost") if lost else admitted


async def clear_at(answers: Answers, address: str) -> bool:
    """Tell whether a node's pod of a version without TLS is there, on a node that is not lost.

    Raises:
        DirectPVError: Kubernetes does not answer.
    """
    for node in clear_nodes(await answers.pods_at(address)):
        if not await _lost(answers, node):
            return True
    return False


async def _lost(answers: Answers, node: str) -> bool:
    try:
        return is_lost(await answers.node(node))
    except Missing:
        return True
