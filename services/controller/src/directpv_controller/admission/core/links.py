"""How NATS calls those who were let in, so that it can be seen later who must not be there any more."""

from typing import Final, NamedTuple

NODE: Final = "node"
FORMER_NODE: Final = "former-node"
FORMER_CONTROLLER: Final = "former-controller"


class Link(NamedTuple):
    """Somebody who is connected to a server. Source: NATS documentation, "Monitoring", ``/connz``."""

    server: str
    """The server's id."""
    number: int
    """Of the connection on its server."""
    user: str
    """As we named him when he was let in, or as the server's configuration has him."""
    kind: str
    """``Client`` or ``Leafnode``."""
    name: str
    """As he calls himself."""
    address: str
    started: float = 0.0
    """When it began, in seconds of the server's calendar."""
    seen: float = 0.0
    """When the server said all of this, in the same."""
    messages: int = 0
    """That came by it, since it began."""
    bytes: int = 0
    """Of these."""
    encrypted: bool = True


def node_user(node: str, key: str) -> str:
    """Return the name of a node's server that came in by a key."""
    return f"{NODE} {node} {key}"


def node_in(user: str) -> tuple[str, str] | None:
    """Return node and key of :func:`node_user`; None if that is somebody else's name."""
    kind, _, rest = user.partition(" ")
    if kind != NODE:
        return None
    node, _, key = rest.partition(" ")
    return node, key


def is_former(user: str) -> bool:
    """Tell whether that is the name of a pod of the version before."""
    return user in (FORMER_NODE, FORMER_CONTROLLER)
