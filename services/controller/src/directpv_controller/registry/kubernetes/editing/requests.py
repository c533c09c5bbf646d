"""Answers upstream's plugin: devices for a DirectPVNode that wants a refresh, formatting for a DirectPVInitRequest.

Whoever may create a DirectPVInitRequest can format a device of any node; that is a matter of the cluster's RBAC, and
can be switched off.
"""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, NamedTuple

import directpv_common.protocol.messages as m
from directpv_common import crd
from directpv_common.bus.service import Unanswered
from directpv_common.calls.context import detached
from directpv_common.crd import Object, nodes
from directpv_common.process.lifecycle import background
from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import Busy, DirectPVError, Unavailable
from directpv_controller.leading.term import Term
from directpv_controller.registry.kubernetes.apiserver.client import Client, Resource
from directpv_controller.registry.kubernetes.apiserver.errors import Missing, Stale
from directpv_controller.registry.kubernetes.apiserver.informer import Informer, Kind
from directpv_controller.registry.kubernetes.keeping.shelf import API
from directpv_controller.registry.port import Format

log = logging.getLogger(__name__)

NODES: Final = Resource(f"{API}/{crd.NODES.plural}", "nodes")
INIT_REQUESTS: Final = Resource(f"{API}/{crd.INIT_REQUESTS.plural}", "initrequests")
DEVICE_SECONDS: Final = 30.0
TRIES: Final = 15
"""To format: about two minutes, as long as upstream's plugin waits; nobody expects it to happen later."""
PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 10.0
"""Devices are looked for until they are found: upstream's plugin asks a second time by the same write, and that one
changes nothing, so that nobody hears of it."""
WRITES: Final = 5


class Work(NamedTuple):
    """What is done for the objects of one kind."""

    resource: Resource
    noun: str
    is_wanted: Callable[[Object], bool]
    do: Callable[[Object], Awaitable[None]]
    tries: int | None


class Requests:
    """Works for one term of leadership; at most one piece of work per object at a time."""

    def __init__(self, client: Client, term: Term, init_devices: Format, *, init_requests: bool) -> None:
        self._client, self._term, self._init_devices, self._init_requests = client, term, init_devices, init_requests
        self._running: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        """What was changed while it was worked on."""
        self._nodes = Work(NODES, "node", nodes.wants_refresh, self._refresh, None)
        self._requests = Work(INIT_REQUESTS, "init request", nodes.is_pending, self._format, TRIES)

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Answer while the block runs; formatting that has begun ends on the node even if this is over."""
        works = [self._nodes, *([self._requests] if self._init_requests else [])]
        informers = [Informer(self._client, work.resource, functools.partial(self._take, work)) for work in works]
        try:
            async with background(*(informer.run() for informer in informers)):
                yield
        finally:
            self._again.clear()
            for task in tuple(self._running.values()):
                task.cancel()

    def _take(self, work: Work, kind: Kind, obj: Object) -> None:
        if kind == "changed" and work.is_wanted(obj):
            self._begin(work, obj["metadata"]["name"])

    def _begin(self, work: Work, name: str) -> None:
        key = f"{work.noun} {name}"
        if key in self._running:
            self._again.add(key)
            return
        task = asyncio.create_task(self._work(work, name, key), context=detached())
        self._running[key] = task
        task.add_done_callback(lambda _: self._done(work, name, key))

    def _done(self, work: Work, name: str, key: str) -> None:
        del self._running[key]
        if key in self._again:
            self._again.discard(key)
            self._begin(work, name)

    async def _work(self, work: Work, name: str, key: str) -> None:
        """Work on the object as it is now, for it may have been answered or taken back since it was heard of."""
        pause, tried = PAUSE, 0
        while work.tries is None or tried < work.tries:
            try:
                obj = await self._client.get(work.resource, name)
                return await work.do(obj) if work.is_wanted(obj) else None
            except (Missing, Unanswered):
                return None  # taken back, or somebody else's work by now
            except DirectPVError as error:
                tried += 1
                if tried & (tried - 1) == 0:  # the first, second, fourth, ...: a node may be away for days
                    log.warning("request not answered", extra={"request": key, "error": error.message, "tried": tried})
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return None

    # ---- devices

    async def _refresh(self, obj: Object) -> None:
        """Write the devices that the node has now."""
        name = obj["metadata"]["name"]
        self._term.require_lead()
        found = await self._term.bus.call(
            Node.DEVICE_LIST, m.Empty(), node=name, within=DEVICE_SECONDS, attempt=DEVICE_SECONDS, patient=False
        )
        await self._write(NODES, name, lambda current: nodes.refreshed(current, found.devices))

    async def _write(self, resource: Resource, name: str, change: Callable[[Object], Object]) -> None:
        """Change the object as it is now, and again if somebody was faster."""
        for left in reversed(range(WRITES)):
            current = await self._client.get(resource, name)
            self._term.require_lead()
            try:
                await self._client.replace(resource, change(current))
                return
            except Stale:
                if not left:
                    raise

    # ---- formatting

    async def _format(self, obj: Object) -> None:
        """Format as the plugin of this installation would, and write what came of it."""
        name = obj["metadata"]["name"]
        answer = await self._formatted(obj)
        await self._write(INIT_REQUESTS, name, answer)

    async def _formatted(self, obj: Object) -> Callable[[Object], Object]:
        try:
            asked = nodes.requested(obj)
            self._term.require_lead()
            done = await self._init_devices(asked)
        except (Unavailable, Busy):
            raise
        except (DirectPVError, ValueError) as error:
            why = str(error)
            log.warning("init request refused", extra={"request": obj["metadata"]["name"], "why": why})
            return lambda current: nodes.refused(current, why)
        log.info("init request done", extra={"request": obj["metadata"]["name"], "node": asked.node})
        return lambda current: nodes.answered(current, done.results)
