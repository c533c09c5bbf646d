"""Writes one object until it is certain what became of it: compare and set, read again after a conflict."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from directpv_common.crd import Object, epoch_of
from directpv_common.protocol.errors import Conflict, Fenced, InvalidRequest, Unavailable
from directpv_controller.leading.port import OutcomeUnknown
from directpv_controller.registry.kubernetes.apiserver.client import CALL_SECONDS, Client, Resource
from directpv_controller.registry.kubernetes.apiserver.errors import Exists, Missing, Refused, Stale, Unclear, Unsent
from directpv_controller.registry.kubernetes.election import KubernetesLease

T = TypeVar("T")

TRY_SECONDS: Final = 15.0
AT_ONCE: Final = 32
"""Requests under way, over all drives."""
PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 1.0

Build = Callable[[], tuple[Object, str]]
"""Returns what to write, and the resource version that it replaces; empty: it is to be made."""
Reread = Callable[[Object | None], None]
"""Takes what is there instead; None: nothing."""


class Writer:
    """Shared by all drives of one registry."""

    def __init__(self, client: Client, count_conflict: Callable[[str], None]) -> None:
        self.client = client
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._count_conflict = count_conflict

    async def write(self, resource: Resource, build: Build, reread: Reread, lease: KubernetesLease) -> Object:
        """Write what ``build`` returns; return it as it is stored.

        Raises:
            Fenced: Somebody else leads; nothing was written.
            OutcomeUnknown: It may have been written.
            Unavailable: Certainly not written.
        """

        async def once() -> Object:
            wanted, version = build()
            try:
                return await self._send(resource, wanted, version, lease)
            except (Stale, Exists, Missing) as error:
                self._count_conflict(resource.name)
                found = await self._found(resource, wanted, error, lease)
            if found is not None and _same(wanted, found):
                return found
            _require_epoch(found, lease)
            reread(found)
            raise _Again

        return await self._insist(once, f"{resource.name}", lease)

    async def make(self, resource: Resource, wanted: Object, lease: KubernetesLease) -> Object | None:
        """Make an object; None: there is one of its name, and it is not this one. Raises as :meth:`write`."""

        async def once() -> Object | None:
            try:
                return await self._send(resource, wanted, "", lease)
            except Exists as error:
                found = await self._found(resource, wanted, error, lease)
            if found is None:
                raise _Again
            return found if _same(wanted, found) else None

        return await self._insist(once, resource.name, lease)

    async def remove(
        self, resource: Resource, name: str, version: str, left: list[str], lease: KubernetesLease
    ) -> None:
        """Delete an object with the finalizers that are ours; ``left`` are those of others. Raises as :meth:`write`."""
        held = version

        async def once() -> None:
            nonlocal held
            try:
                await self._remove(resource, name, held, left, lease)
            except Missing:
                return
            except Stale as error:
                self._count_conflict(resource.name)
                found = await self._found(resource, {"metadata": {"name": name}}, error, lease)
                _require_epoch(found, lease)
                held = found["metadata"]["resourceVersion"] if found is not None else held
                raise _Again from error

        await self._insist(once, f"{resource.name} {name}", lease)

    async def _remove(
        self, resource: Resource, name: str, version: str, left: list[str], lease: KubernetesLease
    ) -> None:
        async with self._gate:
            reply = await self.client.delete(resource, name, version=version, within=_within(lease))
        meta = reply.get("metadata") or {}
        if meta.get("finalizers", []) != left and meta.get("deletionTimestamp"):
            patch = {"metadata": {"finalizers": left, "resourceVersion": meta["resourceVersion"]}}
            async with self._gate:
                await self.client.merge(resource, name, patch, within=_within(lease))

    async def _send(self, resource: Resource, wanted: Object, version: str, lease: KubernetesLease) -> Object:
        async with self._gate:
            if not version:
                return await self.client.create(resource, wanted, within=_within(lease))
            obj = {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": version}}
            return await self.client.replace(resource, obj, within=_within(lease))

    async def _found(
        self, resource: Resource, wanted: Object, error: Conflict | Missing, lease: KubernetesLease
    ) -> Object | None:
        if isinstance(error, Missing):
            return None
        try:
            async with self._gate:
                return await self.client.get(resource, wanted["metadata"]["name"], within=_within(lease))
        except Missing:
            return None

    async def _insist(self, once: Callable[[], Awaitable[T]], what: str, lease: KubernetesLease) -> T:
        """Repeat ``once`` until it succeeds, is refused, or the lease ends."""
        begun, pause, unclear, conflicts = time.monotonic(), PAUSE, False, 0
        while True:
            try:
                return await once()
            except _Again:
                why, wait = "it is changed again and again", pause if conflicts else 0.0
                conflicts += 1
            except Unclear as error:
                why, wait, unclear = error.message, pause, True
            except Unsent as error:
                why, wait = error.message, max(pause, error.pause)
            except (Refused, InvalidRequest) as error:
                raise (OutcomeUnknown if unclear else Unavailable)(error.message) from error
            if not lease.valid or time.monotonic() - begun > TRY_SECONDS:
                raise (OutcomeUnknown if unclear else Unavailable)(f"{what} not written: {why}")
            await asyncio.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)


class _Again(Exception):
    """The object was changed meanwhile, and read again."""


def _within(lease: KubernetesLease) -> float:
    """Return seconds for one request; none is sent that could arrive after the lease."""
    if not lease.valid:
        raise Fenced(f"the lease of epoch {lease.epoch} is over")
    return min(CALL_SECONDS, lease.left)


def _require_epoch(found: Object | None, lease: KubernetesLease) -> None:
    epoch = epoch_of(found) if found is not None else None
    if epoch is not None and epoch > lease.epoch:
        name = found["metadata"]["name"] if found is not None else ""
        raise Fenced(f"{name} was written in epoch {epoch}; this is epoch {lease.epoch}")


def _same(wanted: Object, found: Object) -> bool:
    """Tell whether ``found`` is what we wanted to write: an earlier attempt had arrived."""
    parts = ("labels", "annotations", "finalizers")
    return all((wanted["metadata"].get(part) or None) == (found["metadata"].get(part) or None) for part in parts) and (
        (wanted.get("spec"), wanted["status"]) == (found.get("spec"), found["status"])
    )
