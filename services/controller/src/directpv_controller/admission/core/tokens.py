"""What Kubernetes says about a token: whose it is, and to which pod on which node it was given."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from directpv_common.protocol.errors import FailedPrecondition, InvalidRequest
from directpv_common.protocol.names import BUS_AUDIENCE, NODE_ACCOUNT

LONGEST: Final = 16_384
POD_NAME: Final = "authentication.kubernetes.io/pod-name"
POD_UID: Final = "authentication.kubernetes.io/pod-uid"


_BASE64: Final = re.compile("[-_A-Za-z0-9]+")


def account_of(user: Mapping[str, Any], namespace: str) -> str:
    """Return which of our ServiceAccounts a user of Kubernetes is; empty: none. Source: TokenReview."""
    prefix = f"system:serviceaccount:{namespace}:"
    name = str(user.get("username", ""))
    return name.removeprefix(prefix) if name.startswith(prefix) else ""


def unaccepted(status: Mapping[str, Any]) -> str:
    """Return why Kubernetes does not accept a token for the bus; empty if it does. Source: TokenReview, ``audiences``.

    A server that knows nothing of audiences does not say which of them it found, and accepts tokens for anything.
    """
    if not status.get("authenticated"):
        return str(status.get("error") or "it is none of this cluster's, or not for the bus")
    return "" if BUS_AUDIENCE in (status.get("audiences") or ()) else "it is not for the bus"


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
    if why := unaccepted(status):
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
    if not is_token(text):
        raise InvalidRequest("token: it is no token of Kubernetes, which has three parts joined by dots", field="token")
    return text


def is_token(text: str) -> bool:
    """Tell whether that may be a token of a ServiceAccount. Source: RFC 7515, compact serialization."""
    parts = text.split(".")
    return len(text) <= LONGEST and len(parts) == 3 and all(map(_BASE64.fullmatch, parts))
