"""Who somebody is who wants to connect: decided by what he shows, or by what has to be asked about him first."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from directpv_common.access.claims import Request
from directpv_common.access.nkey import signed
from directpv_common.access.roles import Access, Role, access
from directpv_common.access.tokens import expiry_of, inbox_of
from directpv_common.protocol.names import ADMINISTRATOR_ACCOUNT, OBSERVER_ACCOUNT
from directpv_common.protocol.subjects import Subjects
from directpv_controller.admission.core.keys import NodeKeys
from directpv_controller.admission.core.links import node_user
from directpv_controller.admission.core.tokens import is_token

LEAF: Final = "Leafnode"
CLIENT: Final = "Client"
IN_CLEAR: Final = "speaks without TLS, and no pod of a version that has none is left at that address"
STRANGER_SECONDS: Final = 60
"""How long somebody may stand at the door."""
PERSON_SECONDS: Final = 3600
"""How long a person may stay, at most; the token decides if it ends before."""
PEOPLE: Final[Mapping[str, Role]] = {
    ADMINISTRATOR_ACCOUNT: Role.ADMINISTRATOR,
    OBSERVER_ACCOUNT: Role.OBSERVER,
}
"""Whoever Kubernetes gives a token of these accounts has these roles."""


class Admitted(NamedTuple):
    """He comes in."""

    name: str
    access: Access
    expires: int = 0
    """Seconds of the calendar; 0: never."""


class Refused(NamedTuple):
    """He does not; ``why`` is for the logs."""

    why: str


class AskToken(NamedTuple):
    """Kubernetes knows whose token that is."""

    token: str


class AskAddress(NamedTuple):
    """He shows nothing, or not by TLS: a former version's pod, perhaps, which Kubernetes knows by its address."""

    host: str
    then: Admitted | None = None
    """What becomes of him if such a pod is there; None: what it says of that pod."""


Verdict = Admitted | Refused | AskToken | AskAddress


def decide(request: Request, keys: NodeKeys, subjects: Subjects, now: int) -> Verdict:
    """Return what becomes of ``request``, or who must be asked about it.

    Args:
        request: What NATS asks; servers know the keys of the controller's pods by themselves.
        keys: Of the nodes.
        subjects: Of the installation.
        now: Seconds of the calendar of the server that asks.
    """
    if request.kind not in (LEAF, CLIENT):
        return Refused(f"a connection of kind {request.kind} is none of ours")
    if request.nkey and not signed(request.nkey, request.signature, request.nonce.encode()):
        return Refused(f"shows the key {request.nkey}, and cannot sign with it")
    verdict = _shown(request, keys, subjects, now)
    if request.encrypted or isinstance(verdict, Refused | AskAddress):
        return verdict
    # by a key no more is given away than who he is; a token is good for whoever hears it
    return AskAddress(request.host, verdict) if isinstance(verdict, Admitted) else Refused(IN_CLEAR)


def _shown(request: Request, keys: NodeKeys, subjects: Subjects, now: int) -> Verdict:
    """Return what becomes of him by what he shows."""
    if request.kind == LEAF:
        return _leaf(request, keys, subjects) if request.nkey else AskAddress(request.host)
    if request.token:
        return AskToken(request.token) if is_token(request.token) else Refused("shows what is no token")
    if request.nkey:
        stranger = access((Role.STRANGER,), subjects, key=request.nkey)
        return Admitted("stranger", stranger, now + STRANGER_SECONDS)
    return AskAddress(request.host)


def _leaf(request: Request, keys: NodeKeys, subjects: Subjects) -> Verdict:
    node = keys.node_of(request.nkey)
    if not node:
        return Refused(f"the key {request.nkey} is no node's; the agent of node {request.name} registers it")
    if request.name != node:  # two servers of one name would evict each other for ever
        return Refused(f"the server calls itself {request.name} and shows the key of node {node}")
    return Admitted(node_user(node, request.nkey), access((Role.LEAF,), subjects, node=node))


def person(token: str, account: str, subjects: Subjects, now: int) -> Admitted | Refused:
    """Return what one may do who has a token, which Kubernetes found good, of ``account``."""
    role = PEOPLE.get(account)
    if role is None:
        return Refused(f"shows a token of {account or 'somebody'}, who has no role on the bus")
    may = access((role,), subjects)
    expires = min(expiry_of(token) or now + PERSON_SECONDS, now + PERSON_SECONDS)
    return Admitted(role.value, Access(may.publish, (*may.subscribe, f"{inbox_of(token)}.>")), expires)
