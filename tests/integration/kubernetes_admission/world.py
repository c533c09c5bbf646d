"""An installation with a real API server, a real hub and real leafs of NATS; controllers answer in this process."""

import base64
import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any

from directpv_cli.install.objects import rbac
from directpv_common.access.installation import keys_of
from directpv_common.access.nkey import Nkey, new_nkey
from directpv_common.access.rendering import hub_authorization
from directpv_common.access.tokens import inbox_of
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.trust import Trust
from directpv_common.protocol.api import Door
from directpv_common.protocol.messages import RegisterKey
from directpv_common.protocol.names import (
    ADMINISTRATOR_ACCOUNT,
    BUS_AUDIENCE,
    BUS_CA_VOLUME,
    BUS_VOLUME,
    NODE_ACCOUNT,
    NODE_POD,
    OBSERVER_ACCOUNT,
    SELECTOR,
)
from directpv_common.protocol.subjects import Subjects, node_token
from directpv_controller.admission.guard import guarding
from directpv_controller.registry.kubernetes.apiserver.access import access_of
from directpv_controller.registry.kubernetes.apiserver.client import connect
from support.kube.api import KubectlError
from support.kube.apiserver import ApiServer
from support.nats import NatsServer
from support.tls import Secured, files

SUBJECTS = Subjects("directpv.v1")
IMAGE = "registry.invalid/none"
STREAMS = '"$JS.API.>": "$JS.directpv.API.>"'


class World:
    """One namespace of the API server, whose hub asks whoever guards it."""

    def __init__(self, server: ApiServer, namespace: str, directory: Path) -> None:
        self.server, self.namespace, self.directory = server, namespace, directory
        self.secret = secrets.token_hex(32)
        self.keys, self.root_key = keys_of(self.secret), new_nkey()
        self.trust = Trust(self.keys.authority.certificate)
        self.authority = directory / "ca.crt"
        self.authority.write_text(self.trust.authority)
        self.secured = Secured(files(directory / "tls", self.keys.authority))
        self.hub = NatsServer(directory / "hub", leafs=True, settings=self._hub_settings(), streams=False)
        self.leafs: list[NatsServer] = []
        self.outcomes: list[str] = []
        self.cuts: list[str] = []
        self._made: list[str] = []

    def _hub_settings(self) -> str:
        """Return the settings as they are installed, and one user more, who sees and may do everything."""
        domain = f"jetstream {{ domain: directpv, store_dir: {self.directory / 'hub'} }}\n"
        known = hub_authorization(self.keys, SUBJECTS)
        root = f'{{ nkey: {self.root_key.public}, permissions: {{ publish: ">", subscribe: ">" }} }},'
        known = known.replace("users: [\n", f"users: [\n{root}\n", 1)
        return (
            domain + self.secured.settings + known.replace("auth_users: [", f"auth_users: [{self.root_key.public}, ", 1)
        )

    def __enter__(self) -> "World":
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        for account in (NODE_ACCOUNT, rbac.CONTROLLER, ADMINISTRATOR_ACCOUNT, OBSERVER_ACCOUNT, "other"):
            self.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": self._here(account)})
        self.hub.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in (*self.leafs, self.hub):
            server.kill()
        with contextlib.suppress(KubectlError):  # of one that a test has ended, nothing is left
            for name in self._made:
                self.server.delete("node", name, missing_ok=True)
            self.server.delete("namespace", self.namespace)

    def _here(self, name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "namespace": self.namespace, **more}

    def apply(self, *objects: dict[str, Any]) -> None:
        self.server.apply(*objects)

    # ---- Kubernetes

    def node(self, name: str) -> str:
        """Make a node, and return its name, which no other test uses."""
        full = f"{name}.{self.namespace}"
        self.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": full}})
        self._made.append(full)
        return full

    def pod(
        self, node: str, *, account: str = NODE_ACCOUNT, former: bool = False, tls: bool = True, address: str = ""
    ) -> str:
        """Make a pod as the DaemonSet has it on ``node``, or had it in a version before; return its name."""
        name = f"node-server-{secrets.token_hex(3)}"
        names = [] if former else [BUS_VOLUME, *([BUS_CA_VOLUME] if tls else [])]
        volumes = [{"name": each, "emptyDir": {}} for each in names]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": self._here(name, labels={SELECTOR: NODE_POD}),
            "spec": {
                "nodeName": node,
                "serviceAccountName": account,
                "automountServiceAccountToken": False,
                "containers": [{"name": "c", "image": IMAGE}],
                "volumes": volumes,
            },
        }
        self.apply(pod)
        if address:
            status = {"podIP": address, "podIPs": [{"ip": address}], "phase": "Running"}
            self.server.change("pod", name, {"status": status}, self.namespace, "status")
        return name

    def token(self, account: str, pod: str = "", audience: str = BUS_AUDIENCE) -> str:
        return self.server.token(self.namespace, account, seconds=600, audience=audience, pod=pod)

    def forged(self, token: str, seconds: int) -> str:
        """Return ``token`` as the API server would have given it out so many seconds later, or sooner (negative)."""
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        head, body, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        claims = {name: value + seconds if name in ("exp", "iat", "nbf") else value for name, value in claims.items()}
        text = f"{head}.{_base64(json.dumps(claims).encode())}"
        key = serialization.load_pem_private_key(self.server.pki.accounts.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # hence RFC 7518, ES256
        numbers = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_base64(b''.join(number.to_bytes(32, 'big') for number in numbers))}"

    def registered(self) -> dict[str, str]:
        """Return the keys that are kept, by node."""
        maps = self.server.objects("configmaps", "-n", self.namespace)
        return {each["data"]["node"]: each["data"]["key"] for each in maps if "node" in each.get("data", {})}

    def change_kept(self, node: str, patch: dict[str, Any] | None) -> None:
        """Change what is kept of a node, as a person may; None: delete it."""
        maps = self.server.objects("configmaps", "-n", self.namespace)
        (name,) = (each["metadata"]["name"] for each in maps if each.get("data", {}).get("node") == node)
        if patch is None:
            self.server.delete("configmap", name, self.namespace)
        else:
            self.server.change("configmap", name, patch, self.namespace)

    def lose(self, node: str, ready: str = "Unknown") -> None:
        """Have Kubernetes say of a node what it says when it has not heard from it; or that it is ``ready``."""
        lost = {"status": {"conditions": [{"type": "Ready", "status": ready, "reason": "OfATest"}]}}
        self.server.change("node", node, lost, subresource="status")

    # ---- NATS

    def leaf(self, name: str, key: Nkey | None, *, tls: bool = True) -> NatsServer:
        """Start the server of a node; ``key`` None: one of a version before, without ``tls`` as well."""
        shown = f", nkey: {key.seed}" if key is not None else ""
        url = self.hub.leaf_url
        if key is not None and tls:
            shown, url = f'{shown}, tls {{ ca_file: "{self.authority}" }}', self.secured.leaf_url
        settings = (
            f'server_name: "{name}"\nmappings {{ {STREAMS} }}\n'
            f'leafnodes {{ reconnect: 1s, remotes: [ {{ urls: ["{url}"]{shown} }} ] }}\n'
        )
        leaf = NatsServer(self.directory / f"leaf-{secrets.token_hex(3)}", settings=settings, streams=False)
        leaf.start()
        self.leafs.append(leaf)
        return leaf

    @contextlib.asynccontextmanager
    async def controller(self, kubeconfig: Path | None = None) -> AsyncIterator[Bus]:
        """Guard the hub while the block runs; yield the controller's connection."""

        def observe(*_: str) -> None: ...

        async with (
            self.connected("controller", self.keys.controller) as bus,
            connect(access_of(str(kubeconfig or self.server.admin)), observe) as client,
            guarding(bus, self.warden, client, [self.keys], self.namespace, self._count, self.cuts.append) as guarded,
        ):
            await guarded.wait()
            yield bus

    def _count(self, outcome: str, role: str, seconds: float) -> None:
        assert role
        assert seconds >= 0
        self.outcomes.append(outcome)

    def warden(self) -> "contextlib.AbstractAsyncContextManager[Bus]":
        return self.connected("w", self.keys.warden, within=10)

    def connected(self, name: str, key: Nkey, within: float = 30.0) -> "contextlib.AbstractAsyncContextManager[Bus]":
        return connect_bus(self.hub.url, name=name, prefix=SUBJECTS.prefix, nkey=key, within=within, trust=self.trust)

    def root(self) -> "contextlib.AbstractAsyncContextManager[Bus]":
        return connect_bus(self.hub.url, name="root", prefix=SUBJECTS.prefix, nkey=self.root_key)

    def person(self, token: str) -> "contextlib.AbstractAsyncContextManager[Bus]":
        inbox = inbox_of(token)
        return connect_bus(
            self.hub.url, name="person", prefix=SUBJECTS.prefix, token=token, inbox=inbox, trust=self.trust
        )

    def at_door(self, key: Nkey, within: float = 30.0) -> "contextlib.AbstractAsyncContextManager[Bus]":
        return self.connected("door", key, within=within)

    async def register(self, key: Nkey, token: str) -> str:
        """Show a token at the door; return the node that this is then the key of."""
        async with self.at_door(key) as bus:
            request = RegisterKey(token=token)
            found = await bus.call(Door.REGISTER, request, subject=SUBJECTS.door(key.public), within=10)
            return found.node

    async def registered_node(self, name: str) -> tuple[str, Nkey]:
        """Make a node that is registered, and return its key, too."""
        node, key = self.node(name), new_nkey()
        await self.register(key, self.token(NODE_ACCOUNT, self.pod(node)))
        return node, key

    async def joined(self, name: str) -> tuple[str, NatsServer]:
        """Make a node that is registered, and start its server."""
        node, key = await self.registered_node(name)
        return node, self.leaf(node, key)

    def on(self, leaf: NatsServer, node: str) -> "contextlib.AbstractAsyncContextManager[Bus]":
        """Connect as a program of a node does."""
        return connect_bus(leaf.url, name=f"agent {node}", prefix=SUBJECTS.prefix, inbox=f"_INBOX.{node_token(node)}")


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
