"""What Kubernetes is asked about who wants to come in: tokens, pods, and the objects that keep the nodes' keys."""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from directpv_common import crd
from directpv_common.protocol.errors import Unavailable
from directpv_common.protocol.names import BUS_AUDIENCE, BUS_KEY_LABEL, GROUP
from directpv_controller.admission.core.keys import check_pod
from directpv_controller.admission.core.tokens import Pod
from directpv_controller.registry.kubernetes.apiserver.client import Client, Resource
from directpv_controller.registry.kubernetes.apiserver.errors import Exists, Missing, Stale
from directpv_controller.registry.kubernetes.apiserver.informer import Informer, Kind
from directpv_controller.registry.kubernetes.keys import key_name

REVIEWS: Final = Resource("/apis/authentication.k8s.io/v1/tokenreviews", "tokenreviews")
NODES: Final = Resource("/api/v1/nodes", "nodes")
TRIES: Final = 5

Take = Callable[[str, str], None]
"""Takes node and key; an empty key: it has none any more."""


class Answers:
    """One API server, and one installation on it."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client, self._home = client, f"/api/v1/namespaces/{namespace}"
        self._keys = Resource(f"{self._home}/configmaps", "configmaps")

    async def review(self, token: str) -> crd.Object:
        """Return what Kubernetes knows about a token: the ``status`` of a TokenReview.

        Raises:
            Unavailable: No answer.
            Refused: We may not ask.
        """
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "metadata": {},
            "spec": {"token": token, "audiences": [BUS_AUDIENCE]},
        }
        status: crd.Object = (await self._client.create(REVIEWS, asked)).get("status") or {}
        return status

    async def pod(self, pod: Pod) -> crd.Object:
        """Return a pod of the installation's; raises Missing if it is gone."""
        return await self._client.get(Resource(f"{self._home}/pods", "pods"), quote(pod.name, safe=""))

    async def pods_at(self, address: str) -> list[crd.Object]:
        """Return the installation's pods that have an address."""
        selected = Resource(f"{self._home}/pods?fieldSelector=status.podIP={quote(address, safe='')}", "pods")
        return [pod async for page in self._client.pages(selected) for pod in page.items]

    async def node(self, name: str) -> crd.Object:
        """Return a node of the cluster; raises Missing if it is gone."""
        return await self._client.get(NODES, quote(name, safe=""))

    # ---- keys of nodes

    async def kept(self, node: str) -> str:
        """Return the key that a node has; empty if it has none. Asked of Kubernetes, not of what was followed."""
        try:
            found = await self._client.get(self._keys, key_name(node))
        except Missing:
            return ""
        return _kept(found)[1] if _kept(found)[0] == node else ""

    async def keep(self, node: str, key: str, pod: str) -> None:
        """Keep a node's key, in place of its former one, until the node is deleted in Kubernetes.

        Args:
            node: Its name.
            key: Public.
            pod: The uid of the pod that showed its token.

        Raises:
            Missing: There is no such node.
            FailedPrecondition: This pod has registered another key.
            Unavailable: No answer, or others write it at the same time.
        """
        owner = (await self.node(node))["metadata"]
        wanted = _object(node, key, owner["uid"], pod)
        for _ in range(TRIES):
            try:
                await self._client.create(self._keys, wanted)
            except Exists:
                if await self._replaced(wanted):
                    return
            else:
                return
        raise Unavailable(f"the key of node {node} is being written by others; repeat")

    async def _replaced(self, wanted: crd.Object) -> bool:
        try:
            found = await self._client.get(self._keys, wanted["metadata"]["name"])
            data = wanted["data"]
            check_pod(found.get("data") or {}, data["node"], data["key"], data["pod"])
            if _content(found) != _content(wanted):
                version = {"resourceVersion": found["metadata"]["resourceVersion"]}
                await self._client.replace(self._keys, {**wanted, "metadata": {**wanted["metadata"], **version}})
        except (Missing, Stale):
            return False
        return True

    def follow(self, take: Take) -> Informer:
        """Return what hands over all keys, and then each change."""
        nodes: dict[str, str] = {}

        def handle(kind: Kind, obj: crd.Object) -> None:
            name = obj["metadata"]["name"]
            if kind == "deleted":
                take(nodes.pop(name, ""), "")
                return
            node, key = _kept(obj)
            former = nodes.pop(name, node)
            if former != node:
                take(former, "")
            if node:
                nodes[name] = node
                take(node, key)

        selected = Resource(f"{self._keys.path}?labelSelector={quote(BUS_KEY_LABEL, safe='')}", "configmaps")
        return Informer(self._client, selected, handle)


def _kept(obj: crd.Object) -> tuple[str, str]:
    """Return node and key; an object that lacks one, or was emptied, keeps none."""
    data = obj.get("data") or {}
    node, key = data.get("node", ""), data.get("key", "")
    return (node, key) if node and key else ("", "")


def _content(obj: crd.Object) -> tuple[Any, ...]:
    owners = [owner.get("uid") for owner in obj["metadata"].get("ownerReferences") or ()]
    return obj.get("data"), (obj["metadata"].get("labels") or {}).get(BUS_KEY_LABEL), owners


def _object(node: str, key: str, uid: str, pod: str) -> crd.Object:
    owner = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid}
    labels = {BUS_KEY_LABEL: "node", f"{GROUP}/created-by": "directpv-controller"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": key_name(node), "labels": labels, "ownerReferences": [owner]},
        "data": {"node": node, "key": key, "pod": pod},
    }
