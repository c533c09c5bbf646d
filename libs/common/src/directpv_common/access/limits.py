"""How much of the bus one user may take: the table beside that of :mod:`.roles`.

NATS asks nobody about it again who was let in, and heeds no limits of users who come in by an auth callout (NATS 2.15:
``subs``, ``data`` and ``payload`` of their claims are read and forgotten). So its servers hold what is the same for all
connections, and controllers, who look at all of them, end those that take more than their role may.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from directpv_common.access.roles import Role

MIB: Final = 1 << 20
PAYLOAD: Final = MIB
"""Bytes of one message. A server hangs up on who sends more, a node's server included, whose hub must not take less."""
SUBSCRIPTIONS: Final = 1024
"""Of one connection: an agent has some sixty, and a node's server tells those of all its programs."""
PENDING: Final = 64 * MIB
"""Bytes that wait for one who does not read; he is cut off then. What a thousand nodes say at once is less."""


class Limit(NamedTuple):
    """What one may take, on the average over some seconds."""

    messages: int
    """A second."""
    bytes: int
    """A second."""
    connections: int
    """Of all with this role from one address, at one server; 0: as many as come."""


TABLE: Final[Mapping[Role, Limit]] = {
    # a node that comes back tells up to 10,000 events that have waited, twice if it does not know whether they came
    Role.LEAF: Limit(messages=10_000, bytes=16 * MIB, connections=0),
    # a command about a thousand nodes asks each of them once
    Role.ADMINISTRATOR: Limit(messages=2_000, bytes=16 * MIB, connections=128),
    Role.OBSERVER: Limit(messages=100, bytes=MIB, connections=128),
    # shows one token, and may be alone behind an address with all nodes of a cluster
    Role.STRANGER: Limit(messages=20, bytes=MIB, connections=1_000),
}
"""Roles that are not here have the installation's secret, or all of one machine."""


def server_limits() -> str:
    """Return the settings of a server that takes in clients and leafs."""
    return f"max_payload: {PAYLOAD}\nmax_subscriptions: {SUBSCRIPTIONS}\nmax_pending: {PENDING}\n"
