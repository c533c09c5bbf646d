"""Follows a collection: what was there when it was listed, then every change, for as long as it is wanted.

An event is a hint as any other: after a gap (410, or a list that failed) everything is listed again, and handed over as
if it had just been changed; what is gone then is told as deleted.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final, Literal

from directpv_common.crd import Object
from directpv_common.errors import DirectPVError, Unavailable
from directpv_controller.adapters.kubernetes_client import Client, Resource
from directpv_controller.adapters.kubernetes_errors import Expired

log = logging.getLogger(__name__)

WATCH_SECONDS: Final = 300.0
IDLE_SECONDS: Final = 90.0
"""A server sends a bookmark each minute: a connection that says less is dead."""
PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0

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

    async def run(self) -> None:
        """Follow until cancelled; failures are logged and tried again."""
        pause = PAUSE
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                pause = PAUSE
            except Expired as error:
                log.info("listing again", extra={"resource": self._resource.name, "why": error.message})
                self._version = ""
                self.relists += 1
            except DirectPVError as error:
                log.warning("watch failed", extra={"resource": self._resource.name, "error": error.message})
                await asyncio.sleep(pause * (0.5 + random.random()))
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _list(self) -> None:
        found: dict[str, Object] = {}
        version = ""
        async for page in self._client.pages(self._resource):
            if not page.version:
                found.clear()
            found.update((item["metadata"]["name"], item) for item in page.items)
            version = page.version
        for name in self._known - found.keys():
            self._give("deleted", {"metadata": {"name": name, "resourceVersion": version}})
        for item in found.values():
            self._give("changed", item)
        self._known = set(found)
        self._version = version
        self.synced.set()

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
