"""What Kubernetes says about a token: whose it is, and to which pod on which node it was given."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from directpv_common.protocol.errors import FailedPrecondition, InvalidRequest
from directpv_common.protocol.names import NODE_ACCOUNT

POD_NAME: Final = "authentication.kubernetes.io/pod-name"
POD_UID: Final = "authentication.kubernetes.io/pod-uid"


def account_of(user: Mapping[str, Any], namespace: str) -> str:
    """Return which of our ServiceAccounts a user of Kubernetes is; empty: none. Source: TokenReview."""
    prefix = f"system:serviceaccount:{namespace}:"
    name = str(user.get("username", ""))
    return name.removeprefix(prefix) if name.startswith(prefix) else ""


class Pod(NamedTuple):
    """The pod to which a token is bound."""

    name: str
    uid: str


def pod_of(status: Mapping[str, Any], namespace: str) -> Pod:
    """Return which of the nodes' pods shows a token. Source: Kubernetes, TokenReview; "Bound service account tokens".

    Args:
        status: Of the TokenReview.
        namespace: Of the installation.

    Raises:
        FailedPrecondition: None; says why.
    """
    if not status.get("authenticated"):
        why = str(status.get("error") or "it is none of this cluster's, or not for the bus")
        raise FailedPrecondition(f"Kubernetes does not accept the token of the node's pod: {why}")
    user = status.get("user") or {}
    account = account_of(user, namespace)
    if account != NODE_ACCOUNT:
        raise FailedPrecondition(f"the token is of {user.get('username')}, not of the node's pods")
    extra = user.get("extra") or {}
    name, uid = (extra.get(key) or [""] for key in (POD_NAME, POD_UID))
    if not (name[0] and uid[0]):
        raise FailedPrecondition("the token is bound to no pod, so that it does not say on which node it was given out")
    return Pod(name[0], uid[0])


def node_of(pod: Pod, found: Mapping[str, Any]) -> str:
    """Return the node on which ``pod`` runs, by its object.

    Raises:
        FailedPrecondition: It is another pod's object by now, or it runs nowhere.
    """
    node = (found.get("spec") or {}).get("nodeName", "")
    if found["metadata"]["uid"] != pod.uid or not node:
        raise FailedPrecondition(f"pod {pod.name}, to which the token is bound, is not there any more")
    return str(node)


def checked_token(text: str) -> str:
    """Return the token, if it can be sent to Kubernetes.

    Raises:
        InvalidRequest: It is not made of the characters of a token.
    """
    if not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidRequest("token: made of other characters than tokens are", field="token")
    return text
