"""Answers upstream's plugin: devices for a DirectPVNode that wants a refresh, formatting for a DirectPVInitRequest.

Whoever may create a DirectPVInitRequest can format a device of any node; that is a matter of the cluster's RBAC, and
can be switched off.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import directpv_common.messages as m
from directpv_common import crd
from directpv_common.api import Node
from directpv_common.crd import Object, nodes
from directpv_common.errors import DirectPVError, Unavailable
from directpv_common.lifecycle import background
from directpv_common.service import Unanswered
from directpv_controller.adapters.kubernetes_client import Client, Resource
from directpv_controller.adapters.kubernetes_errors import Missing, Stale
from directpv_controller.adapters.kubernetes_informer import Informer, Kind
from directpv_controller.adapters.kubernetes_shelf import API
from directpv_controller.adapters.term import Term
from directpv_controller.ports import Format

log = logging.getLogger(__name__)

NODES: Final = Resource(f"{API}/{crd.NODES.plural}", "nodes")
INIT_REQUESTS: Final = Resource(f"{API}/{crd.INIT_REQUESTS.plural}", "initrequests")
DEVICE_SECONDS: Final = 30.0
TRIES: Final = 15
"""About two minutes: as long as upstream's plugin waits."""
PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 10.0
WRITES: Final = 5

Work = Callable[[Object], Awaitable[None]]


class Requests:
    """Works for one term of leadership; at most one piece of work per object at a time."""

    def __init__(self, client: Client, term: Term, init_devices: Format, *, init_requests: bool) -> None:
        self._client, self._term, self._init_devices, self._init_requests = client, term, init_devices, init_requests
        self._running: dict[str, asyncio.Task[None]] = {}

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Answer while the block runs; formatting that has begun ends on the node even if this is over."""
        informers = [Informer(self._client, NODES, self._node)]
        if self._init_requests:
            informers.append(Informer(self._client, INIT_REQUESTS, self._request))
        try:
            async with background(*(informer.run() for informer in informers)):
                yield
        finally:
            for task in tuple(self._running.values()):
                task.cancel()

    def _begin(self, key: str, obj: Object, work: Work) -> None:
        if key not in self._running:
            task = asyncio.create_task(self._work(key, obj, work))
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))

    async def _work(self, key: str, obj: Object, work: Work) -> None:
        pause = PAUSE
        for left in reversed(range(TRIES)):
            try:
                return await work(obj)
            except (Missing, Unanswered):
                return None  # taken back, or somebody else's work by now
            except DirectPVError as error:
                log.warning("request not answered", extra={"request": key, "error": error.message, "tries_left": left})
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return None

    # ---- devices

    def _node(self, kind: Kind, obj: Object) -> None:
        if kind == "changed" and nodes.wants_refresh(obj):
            self._begin(f"node {obj['metadata']['name']}", obj, self._refresh)

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

    def _request(self, kind: Kind, obj: Object) -> None:
        if kind == "changed" and nodes.is_pending(obj):
            self._begin(f"init request {obj['metadata']['name']}", obj, self._format)

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
        except Unavailable:
            raise
        except (DirectPVError, ValueError) as error:
            why = str(error)
            log.warning("init request refused", extra={"request": obj["metadata"]["name"], "why": why})
            return lambda current: nodes.refused(current, why)
        log.info("init request done", extra={"request": obj["metadata"]["name"], "node": asked.node})
        return lambda current: nodes.answered(current, done.results)
