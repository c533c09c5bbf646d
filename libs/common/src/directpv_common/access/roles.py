"""Which role may say and hear what: the one table. It decides; :mod:`.rendering` writes it for servers.

Replies need no rows: who answers may answer what was asked of it, once, and everybody hears replies to itself alone.
Nobody but administrators may make a consumer of the event stream: its maker chooses where the server sends what it
finds, without being asked whether he may (NATS 2.15), so that a consumer speaks with the server's voice.

Of a node's server NATS does not remember what it was asked: it may speak on inboxes. What comes after an inbox's
prefix is chance (:mod:`directpv_common.bus.nats_client`), so that nobody can answer what others were asked.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from directpv_common.protocol.subjects import Subjects, node_token


class Role(StrEnum):
    """What somebody on the bus is."""

    CONTROLLER = "controller"
    GATEWAY = "gateway"
    """CSI's controller service."""
    AGENT = "agent"
    """Of one node."""
    NODE_GATEWAY = "node-gateway"
    """CSI's node service, of one node."""
    ADMINISTRATOR = "administrator"
    CALLOUT = "callout"
    """Tells NATS in a cluster who may come in, and with which role."""
    LEAF = "leaf"
    """The NATS server of one node in a cluster: what programs of this node may say to others, and hear from them."""
    STRANGER = "stranger"
    """Who has a key that is not known, and wants to be."""
    OBSERVER = "observer"
    """Hears events and metrics, and commands nothing."""
    WARDEN = "warden"
    """In the servers' own account, where nobody else is: sees who is connected to a cluster's servers, and ends it."""


class Access(NamedTuple):
    """Subjects, in which ``*`` and ``>`` stand for others."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


class _Row(NamedTuple):
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


_MONITORING: Final = "$SRV.>"
"""Who serves hears it, who looks at services asks by it."""
_MAKE_STREAM: Final = "$JS.API.STREAM.CREATE.{stream}"
_TELLS: Final = ("{p}.evt.*.*.*", "{p}.metrics.*", "{p}.state.*", "{p}.leader")
_READ_STREAM: Final = (
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.INFO.{stream}",
    "$JS.API.CONSUMER.CREATE.{stream}",
    "$JS.API.CONSUMER.CREATE.{stream}.>",
    "$JS.API.CONSUMER.INFO.{stream}.*",
    "$JS.API.CONSUMER.DELETE.{stream}.*",
    "$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
    "$JS.ACK.{stream}.>",
    "$JS.FC.{stream}.>",
)

TABLE: Final[Mapping[Role, _Row]] = {
    Role.CONTROLLER: _Row(
        publish=("{p}.node.*.*.*", "{p}.evt.controller.*.*", "{p}.leader", "{p}.rollcall", _MAKE_STREAM),
        subscribe=("{p}.ctl.*.*", "{p}.state.*", _MONITORING),
    ),
    Role.GATEWAY: _Row(
        publish=(
            "{p}.ctl.volume.create",
            "{p}.ctl.volume.delete",
            "{p}.ctl.volume.expand",
            "{p}.ctl.volume.get",
            "{p}.ctl.volume.list",
            "{p}.ctl.volume.health",
            "{p}.ctl.volume.health-list",
            "{p}.ctl.capacity.get",
        ),
        subscribe=("{p}.leader",),
    ),
    Role.AGENT: _Row(
        publish=("{p}.evt.{node}.*.*", "{p}.metrics.{node}", "{p}.state.{node}", _MAKE_STREAM),
        subscribe=("{p}.node.{node}.*.*", "{p}.rollcall", _MONITORING),
    ),
    Role.NODE_GATEWAY: _Row(
        publish=(
            "{p}.node.{node}.node.get",
            "{p}.node.{node}.volume.stage",
            "{p}.node.{node}.volume.publish",
            "{p}.node.{node}.volume.unpublish",
            "{p}.node.{node}.volume.unstage",
            "{p}.node.{node}.volume.expand",
            "{p}.node.{node}.volume.stats",
            "{p}.node.{node}.volume.health",
            "{p}.node.{node}.node.health",
        ),
        subscribe=("{p}.leader",),
    ),
    Role.ADMINISTRATOR: _Row(
        publish=(
            "{p}.ctl.*.*",
            "{p}.node.*.node.get",
            "{p}.node.*.device.list",
            "{p}.node.*.drive.seen",
            "{p}.node.*.inventory.get",
            "{p}.node.*.volume.usage",
            _MONITORING,
            *_READ_STREAM,
        ),
        subscribe=_TELLS,
    ),
    Role.CALLOUT: _Row(publish=("{p}.cut",), subscribe=("$SYS.REQ.USER.AUTH", "{p}.door.*", "{p}.cut")),
    Role.LEAF: _Row(
        # A server is told of interest in more than it may say (as the stream has in all events) only if what it may
        # say is a subject without wildcards, or ends with > (NATS 2.15).
        publish=("{p}.evt.{node}.>", "{p}.metrics.{node}", "{p}.state.{node}", "_INBOX.>"),
        subscribe=("{p}.node.{node}.*.*", "{p}.rollcall", "{p}.leader", _MONITORING, "_INBOX.{node}.>"),
    ),
    Role.STRANGER: _Row(publish=("{p}.door.{key}",), subscribe=("_INBOX.{key}.>",)),
    Role.OBSERVER: _Row(publish=(_MONITORING,), subscribe=_TELLS),
    Role.WARDEN: _Row(publish=("$SYS.REQ.SERVER.*.CONNZ", "$SYS.REQ.SERVER.*.KICK"), subscribe=()),
}


def access(roles: Iterable[Role], subjects: Subjects, *, node: str = "", key: str = "") -> Access:
    """Return what a user with all of ``roles`` may say and hear.

    Args:
        roles: Of the user.
        subjects: Of the installation.
        node: The user's node, for the roles that have one.
        key: The user's public key, for the roles that have one.
    """
    values = {"p": subjects.prefix, "stream": subjects.stream, "node": node_token(node), "key": key}
    rows = [TABLE[role] for role in roles]
    patterns = [pattern for row in rows for part in row for pattern in part]
    for name, value in (("node", node), ("key", key)):
        if not value and any(f"{{{name}}}" in pattern for pattern in patterns):
            raise ValueError(f"a role of a {name} needs the {name}'s name")
    publish = dict.fromkeys(pattern.format_map(values) for row in rows for pattern in row.publish)
    subscribe = dict.fromkeys(pattern.format_map(values) for row in rows for pattern in row.subscribe)
    return Access(tuple(publish), tuple(subscribe))
