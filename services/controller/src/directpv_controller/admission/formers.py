"""What Kubernetes says about pods of the version before: who has an address, and whether his node is alive."""

from directpv_common.protocol.subjects import Subjects
from directpv_controller.admission.answers import Answers
from directpv_controller.admission.core.decisions import Admitted, Refused
from directpv_controller.admission.core.former import admit_former, is_lost
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
    try:
        lost = is_lost(await answers.node(node))
    except Missing:
        lost = True
    return Refused(f"shows nothing, and the node {node} of the pod that has his address is lost") if lost else admitted
