"""The table of roles as a NATS server's configuration. Source: NATS documentation, "NKeys", "Authorization"."""

import json
from collections.abc import Iterable
from typing import Final, NamedTuple

from directpv_common.access.installation import Keys
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
    """Return the block by which a server lets in ``users`` and nobody else."""
    entries = ",\n".join(f"    {json.dumps(_entry(user))}" for user in users)
    return f"authorization {{\n  users: [\n{entries}\n  ]\n}}\n"


def hub_authorization(keys: Keys, subjects: Subjects) -> str:
    """Return the blocks by which a cluster's servers know the controller's pods, and ask these about all others."""
    controller = access((Role.CONTROLLER, Role.CALLOUT), subjects)
    users = [User(keys.controller.public, controller), User(keys.gateway.public, access((Role.GATEWAY,), subjects))]
    warden = User(keys.warden.public, access((Role.WARDEN,), subjects))
    known = ", ".join(user.public for user in (*users, warden))
    callout = (
        f"  timeout: {SERVER_SECONDS:g}\n  auth_callout {{ issuer: {keys.issuer.public}, auth_users: [{known}] }}\n"
    )
    servers = f"accounts {{ $SYS {{ users: [ {json.dumps(_entry(warden))} ] }} }}\n"
    return authorization(users).replace("authorization {\n", f"authorization {{\n{callout}", 1) + servers


def hub_settings(text: str, keys: Keys, subjects: Subjects) -> str:
    """Return ``text``, the settings of a cluster's server, with what lets it in by the others, and others by it.

    URLs are those of the other servers, and nothing else there is one.
    """
    known = f"authorization: {{ user: {ROUTE_USER}, password: {keys.route}, timeout: 5 }}"
    text = text.replace("nats://", f"nats://{ROUTE_USER}:{keys.route}@").replace("cluster {", f"cluster {{ {known},")
    return text + hub_authorization(keys, subjects)


def leaf_settings(text: str, key: Nkey, monitor_port: int) -> str:
    """Return ``text``, the settings of a node's server, with what lets it in at the cluster's.

    Args:
        text: Has one remote.
        key: Of the node.
        monitor_port: Port of loopback on which it tells of itself.
    """
    monitor = f'http: "127.0.0.1:{monitor_port}"\n'
    return monitor + text.replace("remotes: [{", f"remotes: [{{ nkey: {key.seed},", 1)


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
