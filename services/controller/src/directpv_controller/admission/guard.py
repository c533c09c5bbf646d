"""Callout, door and what cuts off, put together over the controller's connections to the bus."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from directpv_common.access.installation import Keys
from directpv_common.bus.bus import Bus
from directpv_common.process.lifecycle import background
from directpv_controller.admission.answers import Answers, Take
from directpv_controller.admission.banning import Banning
from directpv_controller.admission.callout import Callout, Count
from directpv_controller.admission.core.excess import Bans
from directpv_controller.admission.core.keys import NodeKeys
from directpv_controller.admission.cutting import Connect, Cutting
from directpv_controller.admission.door import Door
from directpv_controller.registry.kubernetes.apiserver.client import Client

log = logging.getLogger(__name__)

ASKED: Final = "$SYS.REQ.USER.AUTH"
WARDEN_SECONDS: Final = 10.0
"""Within which the servers' own account is reached, or later."""
QUEUE: Final = "directpv-admission"
"""Any one of the controllers answers."""


@contextlib.asynccontextmanager
async def guarding(
    bus: Bus,
    warden: Connect,
    client: Client,
    keys: Sequence[Keys],
    namespace: str,
    count: Count,
    cut: Callable[[str], None],
) -> AsyncIterator[asyncio.Event]:
    """Answer NATS and nodes while the block runs; yield what is set once the keys of all nodes are known, and we do.

    Args:
        bus: Of a user who has the role ``callout``.
        warden: Connects as a user who has the role ``warden``.
        client: The API server.
        keys: Of the installation, those that are used before those that are trusted as well; by that of an issuer a
            server knows the answers, and asks for it.
        namespace: Of the installation.
        count: Gets each decision.
        cut: Gets the role of each who is cut off.
    """
    known, bans = NodeKeys(), Bans()
    answers = Answers(client, namespace)
    callout = Callout(answers, known, bus.subjects, [each.issuer for each in keys], namespace, count, bans)
    banning = Banning(bus, bans)
    cutting = Cutting(warden, answers, known, bus.subjects, cut, banning)
    take = _taking(known, cutting.changed)
    door = Door(answers, known, namespace, take)
    informer = answers.follow(take)
    guarded = asyncio.Event()

    async def serve() -> None:
        await informer.synced.wait()
        try:
            await bus.client.subscribe(ASKED, queue=QUEUE, cb=callout.heard)
            await bus.client.subscribe(bus.subjects.door("*"), queue=QUEUE, cb=door.heard)
            await bus.subscribe(bus.subjects.cut, banning.heard)
            log.info("guarding the bus", extra={"nodes": len(known)})
            await bus.client.flush()
            guarded.set()
            await cutting.run()
        finally:
            await callout.end()
            await door.end()

    async with background(informer.run(), callout.run(), serve()):
        yield guarded


def _taking(known: NodeKeys, changed: asyncio.Event) -> Take:
    """Return what takes in the key of a node, or that it has none any more."""

    def take(node: str, key: str) -> None:
        if known.key_of(node) not in ("", key):
            changed.set()
        if not key:
            known.drop(node)
            return
        known.put(node, key)
        if known.node_of(key) != node:
            log.error("a key that is kept twice", extra={"node": node, "other": known.node_of(key), "key": key})

    return take
