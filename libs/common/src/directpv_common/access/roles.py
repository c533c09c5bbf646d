"""Which role may say and hear what: the one table. It decides; :mod:`.rendering` writes it for servers.

Replies need no rows: who answers may answer what was asked of it, once, and everybody hears replies to itself alone.
Nobody but administrators may make a consumer of the event stream: its maker chooses where the server sends what it
finds, without being asked whether he may (NATS 2.15), so that a consumer speaks with the server's voice.
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
    OBSERVER = "observer"
    """Hears events and metrics, and commands nothing."""


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
        ),
        subscribe=("{p}.leader",),
    ),
    Role.ADMINISTRATOR: _Row(
        publish=(
            "{p}.ctl.*.*",
            "{p}.node.*.node.get",
            "{p}.node.*.device.list",
            "{p}.node.*.inventory.get",
            _MONITORING,
            *_READ_STREAM,
        ),
        subscribe=_TELLS,
    ),
    Role.OBSERVER: _Row(publish=(_MONITORING,), subscribe=_TELLS),
}


def access(roles: Iterable[Role], subjects: Subjects, *, node: str = "") -> Access:
    """Return what a user with all of ``roles`` may say and hear.

    Args:
        roles: Of the user.
        subjects: Of the installation.
        node: The user's node, for the roles that have one.
    """
    values = {"p": subjects.prefix, "stream": subjects.stream, "node": node_token(node)}
    rows = [TABLE[role] for role in roles]
    if not node and any("{node}" in pattern for row in rows for part in row for pattern in part):
        raise ValueError("a role of a node needs the node's name")
    publish = dict.fromkeys(pattern.format_map(values) for row in rows for pattern in row.publish)
    subscribe = dict.fromkeys(pattern.format_map(values) for row in rows for pattern in row.subscribe)
    return Access(tuple(publish), tuple(subscribe))
