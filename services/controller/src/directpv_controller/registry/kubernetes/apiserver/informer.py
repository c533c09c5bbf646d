"""Follows a collection: what was there when it was listed, then every change, for as long as it is wanted.

An event is a hint as any other: after a gap (410, or a list that failed) everything is listed again, and handed over as
if it had just been changed, in small parts while the list is read; what is not in the whole of it is told as deleted.

All pages of a list show the state at one resource version, and the watch begins there. If its continuation expires, the
list begins anew, at a later version.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Iterable
from typing import Final, Literal

from directpv_common.crd import Object
from directpv_common.protocol.errors import DirectPVError, Unavailable
from directpv_controller.registry.kubernetes.apiserver.client import Client, Resource
from directpv_controller.registry.kubernetes.apiserver.errors import Expired

log = logging.getLogger(__name__)

WATCH_SECONDS: Final = 300.0
IDLE_SECONDS: Final = 90.0
"""A server sends a bookmark each minute: a connection that says less is dead."""
PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
"""Before the next watch; one that lasted for as long was a good one, after which pauses are short again."""
LONGEST_RELIST_PAUSE: Final = 60.0
"""Before the next list: a server that forgets faster than it lists is not to be kept busy with that."""
STEP: Final = 50
"""Objects of a list that are handed over at once: the loop has a lease to renew meanwhile."""

Kind = Literal["changed", "deleted"]
Handle = Callable[[Kind, Object], None]
"""Takes an object that was added or changed, or its last state; must only hand over."""


class Informer:
    """One collection."""

    def __init__(
        self, client: Client, resource: Resource, handle: Handle, *, version: str = "", known: set[str] | None = None
    ) -> None:
        """Describe what to follow.

        Args:
            client: The API server.
            resource: What to follow.
            handle: Gets each change, in order.
            version: Where to begin; empty: with a list.
            known: Names of the objects that the caller knows already.
        """
        self._client, self._resource, self._handle, self._version = client, resource, handle, version
        self._known = known if known is not None else set()
        self.relists = 0
        """How often everything was listed again."""
        self.synced = asyncio.Event()
        """Set once everything that was there at the beginning has been handed over."""
        if version:
            self.synced.set()

    @property
    def version(self) -> str:
        """Where the next watch begins; empty: with a list."""
        return self._version

    async def run(self) -> None:
        """Follow until cancelled; failures are logged and tried again."""
        pause = PAUSE
        while True:
            lasted = await self._follow()
            pause = PAUSE if lasted >= LONGEST_PAUSE else pause
            await asyncio.sleep(pause * (0.5 + random.random()))
            pause = min(2 * pause, LONGEST_PAUSE if self._version else LONGEST_RELIST_PAUSE)

    async def _follow(self) -> float:
        """List if need be, and watch once; return for how many seconds the watch went well."""
        begun = math.inf
        try:
            if not self._version:
                await self._list()
            begun = time.monotonic()
            await self._watch()
        except Expired as error:
            log.info("listing again", extra={"resource": self._resource.name, "why": error.message})
            self._version = ""
            self.relists += 1
        except DirectPVError as error:
            log.warning("watch failed", extra={"resource": self._resource.name, "error": error.message})
        return time.monotonic() - begun

    async def _list(self) -> None:
        found: set[str] = set()
        version = ""
        async for page in self._client.pages(self._resource):
            if not page.version:
                found.clear()
            names = {item["metadata"]["name"] for item in page.items}
            found |= names
            self._known |= names  # also if the list is never read to its end
            await self._hand_over("changed", page.items)
            version = page.version
        gone = self._known - found
        await self._hand_over("deleted", ({"metadata": {"name": name, "resourceVersion": version}} for name in gone))
        self._known = found
        self._version = version
        self.synced.set()

    async def _hand_over(self, kind: Kind, objects: Iterable[Object]) -> None:
        """Give many objects, and others their turn in between."""
        for number, obj in enumerate(objects):
            if number % STEP == 0:
                await asyncio.sleep(0)
            self._give(kind, obj)

    async def _watch(self) -> None:
        async with self._client.watch(
            self._resource, self._version, seconds=WATCH_SECONDS, idle=IDLE_SECONDS
        ) as events:
            async for event in events:
                self._take(event["type"], event["object"])

    def _take(self, kind: str, obj: Object) -> None:
        meta = obj["metadata"]
        if kind != "BOOKMARK":
            deleted = kind == "DELETED"
            (self._known.discard if deleted else self._known.add)(meta["name"])
            self._give("deleted" if deleted else "changed", obj)
        self._version = meta["resourceVersion"]

    def _give(self, kind: Kind, obj: Object) -> None:
        """Hand over; whatever is wrong with one object, the others must be followed."""
        try:
            self._handle(kind, obj)
        except Exception:
            log.exception("event not taken in", extra={"resource": self._resource.name, "object": obj["metadata"]})


def newer(version: str, than: str) -> bool:
    """Tell whether one resource version is later than another.

    Source: Kubernetes, API concepts: resource versions are decimal numbers that grow and may be compared.

    Raises:
        Unavailable: The API server counts otherwise.
    """
    try:
        return int(version) > int(than or "0")
    except ValueError as error:
        raise Unavailable(f"resource version {version!r} or {than!r} is no number") from error
