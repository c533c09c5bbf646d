"""Which key is which node's: each node has one, and no key is two nodes'."""

from collections.abc import Mapping

from directpv_common.protocol.errors import Conflict, FailedPrecondition


class NodeKeys:
    """What is known, as the objects that keep it were last seen."""

    def __init__(self) -> None:
        self._key_of: dict[str, str] = {}
        self._nodes_of: dict[str, list[str]] = {}

    def node_of(self, key: str) -> str:
        """Return the node whose key that is; empty if it is nobody's. Of several that say so, the first has it."""
        return next(iter(self._nodes_of.get(key, ())), "")

    def key_of(self, node: str) -> str:
        """Return the key that a node says it has; empty if it says none."""
        return self._key_of.get(node, "")

    def __len__(self) -> int:
        return len(self._key_of)

    def put(self, node: str, key: str) -> None:
        """Take in a node's key, in place of its former one; if it is another node's, it waits for that to end."""
        if self._key_of.get(node) == key:
            return
        self.drop(node)
        self._key_of[node] = key
        self._nodes_of.setdefault(key, []).append(node)

    def check(self, node: str, key: str) -> None:
        """Make sure that the key can be this node's.

        Raises:
            Conflict: It is another node's.
        """
        other = self.node_of(key)
        if other not in ("", node):
            raise Conflict(
                f"the key of node {node} is that of node {other}: was its disk copied? Remove the key's file on "
                f"{node}, so that a new one is made; if {other} is {node} under a former name, delete node {other}"
            )

    def drop(self, node: str) -> None:
        """Forget a node's key."""
        key = self._key_of.pop(node, "")
        if key:
            self._nodes_of[key].remove(node)
            if not self._nodes_of[key]:
                del self._nodes_of[key]


def check_pod(kept: Mapping[str, str], node: str, key: str, pod: str) -> None:
    """Make sure that a pod registers one key in its life: who listened to it has its token, and keys of his own.

    Args:
        kept: What is kept of the node: ``key``, and the uid of the ``pod`` that registered it; former versions did not
            keep that.
        node: Its name.
        key: What is to be kept.
        pod: The uid of the pod whose token is shown.

    Raises:
        FailedPrecondition: This pod has registered another one.
    """
    if kept.get("pod") == pod and kept.get("key") != key:
        raise FailedPrecondition(
            f"this pod of node {node} has registered another key already, or that was revoked: if the key's file was "
            "removed or damaged, delete the pod, and the next one registers a new key; if not, somebody else has "
            "shown the token of this pod"
        )
