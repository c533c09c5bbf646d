"""The table of roles as a NATS server's configuration. Source: NATS documentation, "NKeys", "Authorization"."""

import hashlib
import json
from collections.abc import Iterable
from typing import Final, NamedTuple

from directpv_common.access.installation import Keys
from directpv_common.access.limits import server_limits
from directpv_common.access.nkey import Nkey
from directpv_common.access.patience import SERVER_SECONDS
from directpv_common.access.roles import Access, Role, access
from directpv_common.protocol.subjects import Subjects

ANSWER_SECONDS: Final = 3600
"""How long a request may be answered: formatting and repair take their time."""
ROUTE_USER: Final = "directpv"


class User(NamedTuple):
    """Who may connect."""

    public: str
    """Public key."""
    access: Access


def authorization(users: Iterable[User]) -> str:
    """Return the settings by which a server lets in ``users`` and nobody else, and no more of each than is good."""
    entries = ",\n".join(f"    {json.dumps(_entry(user))}" for user in users)
    return f"authorization {{\n  users: [\n{entries}\n  ]\n}}\n{server_limits()}"


def hub_authorization(keys: Keys, subjects: Subjects, also: Iterable[Keys] = ()) -> str:
    """Return the blocks by which a cluster's servers know the controller's pods, and ask these about all others.

    Args:
        keys: Of the installation.
        subjects: Of the installation.
        also: Keys by which those pods are known as well, of a secret that takes the place of another one.
    """
    controller, gateway = (access(roles, subjects) for roles in ((Role.CONTROLLER, Role.CALLOUT), (Role.GATEWAY,)))
    every = (keys, *also)
    users = [
        User(key.public, may) for each in every for key, may in ((each.controller, controller), (each.gateway, gateway))
    ]
    wardens = [User(each.warden.public, access((Role.WARDEN,), subjects)) for each in every]
    known = ", ".join(user.public for user in (*users, *wardens))
    callout = (
        f"  timeout: {SERVER_SECONDS:g}\n  auth_callout {{ issuer: {keys.issuer.public}, auth_users: [{known}] }}\n"
    )
    system = ", ".join(json.dumps(_entry(warden)) for warden in wardens)
    servers = f"accounts {{ $SYS {{ users: [ {system} ] }} }}\n"
    return authorization(users).replace("authorization {\n", f"authorization {{\n{callout}", 1) + servers


class Files(NamedTuple):
    """What a server of the cluster has for TLS: paths, in PEM."""

    certificate: str
    key: str
    authority: str

    def block(self, more: str = "") -> str:
        """Return the block of a listener."""
        return f'tls {{ cert_file: "{self.certificate}", key_file: "{self.key}", min_version: "1.3"{more} }}'

    def mutual(self) -> str:
        """Return the block of a server among servers, each of which NATS has show the other a certificate anyway."""
        return self.block(f', ca_file: "{self.authority}"')


def listeners(files: Files, leafs: str) -> str:
    """Return the blocks by which a server has TLS for those who ask for it.

    Leafs that do come as websockets, for the port of leafs has TLS for all of them or for none. Pods of the version
    before come without.

    Args:
        files: Of the server.
        leafs: Address and port for these.
    """
    return f'{files.block()}\nallow_non_tls: true\nwebsocket {{ listen: "{leafs}", {files.block()} }}\n'


def hub_settings(text: str, keys: Keys, subjects: Subjects, routes: str = "", also: Iterable[Keys] = ()) -> str:
    """Return ``text``, the settings of a cluster's server, with what lets it in by the others, and others by it.

    URLs are those of the other servers, and nothing else there is one.

    Args:
        text: Of all servers, without anything that must not be known.
        keys: Of the installation.
        subjects: Of the installation.
        routes: Block of TLS between servers (:meth:`Files.mutual`); empty: they have none.
        also: See :func:`hub_authorization`. NATS takes one password from other servers: with two secrets, certificates
            alone show who is one, where there are any.
    """
    also = tuple(also)
    password = f"authorization: {{ user: {ROUTE_USER}, password: {keys.route}, timeout: 5 }}, "
    known = (password if not (also and routes) else "") + (routes and f"{routes}, ")
    text = text.replace("nats://", f"nats://{ROUTE_USER}:{keys.route}@").replace("cluster {", f"cluster {{ {known}")
    return text + hub_authorization(keys, subjects, also)


def authority_tag(text: str) -> str:
    """Return by what a node's server tells, in its ``/varz``, which certificates it was started with."""
    return f"bus-ca:{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def leaf_settings(text: str, key: Nkey, monitor_port: int, authority: str = "", tag: str = "") -> str:
    """Return ``text``, the settings of a node's server, with what lets it in at the cluster's.

    Args:
        text: Has one remote.
        key: Of the node.
        monitor_port: Port of loopback on which it tells of itself.
        authority: File with the certificates of who may have issued those of the cluster's servers; empty: no TLS.
        tag: See :func:`authority_tag`.
    """
    monitor = f'http: "127.0.0.1:{monitor_port}"\n' + (f'server_tags: ["{tag}"]\n' if tag else "")
    tls = f' tls {{ ca_file: "{authority}", min_version: "1.3" }}, ws_no_masking: true,' if authority else ""
    return monitor + text.replace("remotes: [{", f"remotes: [{{ nkey: {key.seed},{tls}", 1)


def _entry(user: User) -> dict[str, object]:
    inbox = f"_INBOX.{user.public}.>"
    return {
        "nkey": user.public,
        "permissions": {
            "publish": {"allow": list(user.access.publish)},
            "subscribe": {"allow": [*user.access.subscribe, inbox]},
            "allow_responses": {"max": 1, "expires": f"{ANSWER_SECONDS}s"},
        },
    }
