"""Which key is which node's: each node has one, and no key is two nodes'."""

from directpv_common.protocol.errors import Conflict


class NodeKeys:
    """What is known, as the objects that keep it were last seen."""

    def __init__(self) -> None:
        self._key_of: dict[str, str] = {}
        self._node_of: dict[str, str] = {}

    def node_of(self, key: str) -> str:
        """Return the node whose key that is; empty if it is nobody's."""
        return self._node_of.get(key, "")

    def __len__(self) -> int:
        return len(self._key_of)

    def put(self, node: str, key: str) -> None:
        """Take in a node's key, in place of its former one.

        Raises:
            Conflict: It is another node's.
        """
        self.check(node, key)
        self.drop(node)
        self._key_of[node], self._node_of[key] = key, node

    def check(self, node: str, key: str) -> None:
        """Make sure that the key can be this node's; raises as :meth:`put`."""
        other = self.node_of(key)
        if other not in ("", node):
            raise Conflict(
                f"the key of node {node} is that of node {other}: was its disk copied? Remove the key's file on "
                f"{node}, so that a new one is made; if {other} is {node} under a former name, delete node {other}"
            )

    def drop(self, node: str) -> None:
        """Forget a node's key."""
        self._node_of.pop(self._key_of.pop(node, ""), None)
