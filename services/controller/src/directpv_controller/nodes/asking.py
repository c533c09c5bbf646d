"""One request to a node, sent once: whatever is repeated to a node that is away is carried out when it wakes up.

A server keeps what is sent to a subscriber that does not read: a frozen agent finds every repeat in its inbox.
"""

import asyncio
from typing import Any, Final, TypeVar

from directpv_common.protocol.api import Endpoint
from directpv_common.protocol.errors import FailedPrecondition
from directpv_controller.leading.term import Term
from directpv_controller.nodes.nodes import Nodes

R = TypeVar("R")

LOOK_SECONDS: Final = 0.5
"""How often it is looked whether the node is still there."""


async def ask(term: Term, nodes: Nodes, endpoint: Endpoint[Any, R], request: object, *, node: str, within: float) -> R:
    """Send ``request`` to ``node`` and wait for the reply, ``within`` seconds at most, while the node is there.

    Raises:
        FailedPrecondition: The node is known to be away, and was not asked; or it went while it was waited for, and may
            carry out what it was asked when it is back. Says which node it is.
        DirectPVError: As :meth:`directpv_common.bus.bus.Bus.call`.
    """
    require_online(nodes, node)
    term.require_lead()
    call = asyncio.ensure_future(
        term.bus.call(endpoint, request, node=node, within=within, attempt=within, patient=False)
    )
    try:
        while not call.done():
            await asyncio.wait({call}, timeout=LOOK_SECONDS)
            if not call.done() and nodes.knows(node) and not nodes.online(node):
                raise FailedPrecondition(
                    f"node {node} went silent before it answered; what it was asked it may do when it is back: look at "
                    "its drives then, before you repeat"
                )
        return call.result()
    finally:
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)


def require_online(nodes: Nodes, node: str) -> None:
    """Raise if a node that is known is known to be away.

    Raises:
        FailedPrecondition: It is; says so by its name, and since when.
    """
    if nodes.knows(node) and not nodes.online(node):
        heard = nodes.worker(node).seen_at
        since = f"last heard at {heard}" if heard else "not heard since this controller leads"
        raise FailedPrecondition(
            f"node {node} is offline ({since}), and was not asked; start its agent, or its machine, then repeat"
        )
