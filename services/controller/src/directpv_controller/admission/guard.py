"""Callout and door, put together over the controller's connection to the bus."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from nats.aio.msg import Msg

from directpv_common.access.nkey import Nkey
from directpv_common.bus.bus import Bus
from directpv_common.process.lifecycle import background
from directpv_common.protocol.errors import Conflict
from directpv_controller.admission.answers import Answers
from directpv_controller.admission.callout import Callout, Count
from directpv_controller.admission.core.keys import NodeKeys
from directpv_controller.admission.door import Door
from directpv_controller.registry.kubernetes.client import Client

log = logging.getLogger(__name__)

ASKED: Final = "$SYS.REQ.USER.AUTH"
QUEUE: Final = "directpv-admission"
"""Any one of the controllers answers."""
AT_ONCE: Final = 512
QUESTIONS: Final = 16
"""Of Kubernetes at once: whoever knocks must not keep it busy."""


@contextlib.asynccontextmanager
async def guarding(
    bus: Bus, client: Client, issuer: Nkey, namespace: str, count: Count
) -> AsyncIterator[asyncio.Event]:
    """Answer NATS and nodes while the block runs; yield what is set once the keys of all nodes are known, and we do.

    Args:
        bus: Of a user who has the role ``callout``.
        client: The API server.
        issuer: The key by which servers know the answers.
        namespace: Of the installation.
        count: Gets the outcome of each decision.
    """
    keys = NodeKeys()
    answers = Answers(client, namespace)

    def take(node: str, key: str) -> None:
        try:
            keys.put(node, key) if key else keys.drop(node)
        except Conflict as error:
            log.error("a key that is kept twice", extra={"error": error.message})

    informer = answers.follow(take)
    asking = asyncio.Semaphore(QUESTIONS)
    callout = Callout(answers, asking, keys, bus.subjects, issuer, namespace, count)
    door = Door(answers, asking, keys, namespace)

    guarded = asyncio.Event()

    async def serve() -> None:
        await informer.synced.wait()
        tasks = _Tasks()
        try:
            await bus.client.subscribe(ASKED, queue=QUEUE, cb=tasks.each(callout.answer))
            await bus.client.subscribe(bus.subjects.door("*"), queue=QUEUE, cb=tasks.each(door.answer))
            log.info("guarding the bus", extra={"nodes": len(keys)})
            await bus.client.flush()
            guarded.set()
            await asyncio.Event().wait()
        finally:
            await tasks.end()

    async with background(informer.run(), serve()):
        yield guarded


class _Tasks:
    """Hands each message to a task of its own; what comes while too many run is left to others, or to a repeat."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def each(self, handle: Callable[[Msg], Awaitable[None]]) -> Callable[[Msg], Awaitable[None]]:
        async def accept(message: Msg) -> None:
            if len(self._running) >= AT_ONCE:
                return
            task = asyncio.create_task(self._run(handle, message))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        return accept

    async def end(self) -> None:
        """Cancel those that run; who asked asks again, and another answers."""
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    @staticmethod
    async def _run(handle: Callable[[Msg], Awaitable[None]], message: Msg) -> None:
        try:
            await handle(message)
        except Exception:
            log.exception("not answered")
