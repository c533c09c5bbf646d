"""Writes Events of Kubernetes on drives and volumes: ``kubectl describe`` shows what became of somebody's change.

Nothing waits for them, and nothing depends on them. Equal ones are one Event that counts, as other controllers' are.
Source: Kubernetes API, core/v1 Event; events on objects without a namespace belong to ``default``.
"""

import asyncio
import logging
import secrets
from collections import OrderedDict
from typing import Final

from msgspec import Struct

from directpv_common import crd
from directpv_common.bus.cloud_event import TYPE_PREFIX, CloudEvent
from directpv_common.crd import Object
from directpv_common.process.clock import now_rfc3339
from directpv_common.protocol import names
from directpv_common.protocol.errors import DirectPVError
from directpv_controller.core.editing.announcements import Announcement, announcement
from directpv_controller.registry.kubernetes.apiserver.client import Client, Resource
from directpv_controller.registry.kubernetes.apiserver.errors import Missing
from directpv_controller.registry.kubernetes.keeping.shelf import DRIVES, VOLUMES

log = logging.getLogger(__name__)

NAMESPACE: Final = "default"
EVENTS: Final = Resource(f"/api/v1/namespaces/{NAMESPACE}/events", "events")
COMPONENT: Final = "directpv-controller"
WAITING: Final = 1_000
"""Different ones that wait to be written; more are counted and left out."""
REMEMBERED: Final = 1_000
"""Written ones that can still be counted up."""
PAUSE: Final = 0.2
"""Seconds between two writes: a storm of them must not crowd out what the registry writes."""
NAME_MAX: Final = 200
"""Characters of the object's name in that of the Event, which has 253 at most."""
MESSAGE_MAX: Final = 1024
"""Characters of an Event's message that Kubernetes takes."""
PERSISTENT_VOLUMES: Final = Resource("/api/v1/persistentvolumes", "persistentvolumes")
_OBJECTS: Final = {"drive": (DRIVES, crd.DRIVES.kind), "volume": (VOLUMES, crd.VOLUMES.kind)}


class _Written(Struct):
    name: str
    count: int


class Recorder:
    """Writes in the background, for one term of leadership. ``holder`` names this process in each Event."""

    def __init__(self, client: Client, holder: str) -> None:
        self._client, self._holder = client, holder
        self._waiting: OrderedDict[Announcement, int] = OrderedDict()
        self._written: OrderedDict[Announcement, _Written] = OrderedDict()
        self._wake = asyncio.Event()
        self._left_out = 0

    def note(self, event: CloudEvent) -> None:
        """Write ``event`` soon, if it is one that people should see on the object."""
        found = announcement(event.type.removeprefix(TYPE_PREFIX), event.subject, event.data)
        if found is None:
            return
        if found not in self._waiting and len(self._waiting) >= WAITING:
            self._left_out += 1
            return
        self._waiting[found] = self._waiting.get(found, 0) + 1
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled; one that cannot be written is given up, for the stream of events has it."""
        while True:
            await self._wake.wait()
            while self._waiting:
                found, times = self._waiting.popitem(last=False)
                try:
                    await self._write(found, times)
                except DirectPVError as error:
                    log.warning("Event not written", extra={"object": found.name, "error": error.message})
                await asyncio.sleep(PAUSE)
            self._wake.clear()
            if self._left_out:
                log.warning("too many Events for the API server; some were left out", extra={"count": self._left_out})
                self._left_out = 0

    async def _write(self, found: Announcement, times: int) -> None:
        written = self._written.get(found)
        if written is not None and await self._counted(written, times):
            return
        about = await self._about(found)
        if about is None:
            return  # there is nothing that it could be shown on
        event = _event(found, about, times, self._holder)
        await self._client.create(_events(about["namespace"]), event)
        if not found.about_claim:  # which are told once, and lie in namespaces of their own
            self._written[found] = _Written(event["metadata"]["name"], times)
        if len(self._written) > REMEMBERED:
            self._written.popitem(last=False)

    async def _about(self, found: Announcement) -> Object | None:
        """Return a reference to the object on which an Event is shown; None: it is not there."""
        try:
            if found.about_claim:
                volume = await self._client.get(PERSISTENT_VOLUMES, found.name)
                claim = (volume.get("spec") or {}).get("claimRef") or {}
                return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **_named(claim)} if claim else None
            resource, kind = _OBJECTS[found.noun]
            name = crd.object_name(found.name) if found.noun == "volume" else found.name
            meta = (await self._client.get(resource, name))["metadata"]
        except Missing:
            return None
        return {"apiVersion": f"{names.GROUP}/{names.API_VERSION}", "kind": kind, **_named(meta)}

    async def _counted(self, written: _Written, times: int) -> bool:
        """Count an Event up; False: the cluster has forgotten it."""
        count = written.count + times
        try:
            await self._client.merge(EVENTS, written.name, {"count": count, "lastTimestamp": now_rfc3339()})
        except Missing:
            return False
        written.count = count
        return True


def _named(meta: Object) -> Object:
    """Return what tells an object apart; events on those without a namespace belong to ``default``."""
    return {"name": meta["name"], "namespace": meta.get("namespace") or NAMESPACE, "uid": meta.get("uid", "")}


def _events(namespace: str) -> Resource:
    return EVENTS if namespace == NAMESPACE else Resource(f"/api/v1/namespaces/{namespace}/events", "events")


def _event(found: Announcement, about: Object, times: int, holder: str) -> Object:
    now = now_rfc3339()
    involved = about if found.about_claim else {key: about[key] for key in about if key != "namespace"}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{about['name'][:NAME_MAX]}.{secrets.token_hex(8)}",
            "namespace": about["namespace"],
        },
        "involvedObject": involved,
        "reason": found.reason,
        "message": found.message[:MESSAGE_MAX],
        "type": "Warning" if found.warning else "Normal",
        "count": times,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": holder[:128],
    }
