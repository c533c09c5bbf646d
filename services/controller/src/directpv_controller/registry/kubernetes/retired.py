"""Drives that were given up while their disks could not be told, and nodes: kept in a ConfigMap each beside the lease.

Not in upstream's resources: its tools would take them for drives and nodes that there are.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, TypeVar

from directpv_common.crd import Object
from directpv_common.protocol.errors import InvalidRequest, Unavailable
from directpv_common.protocol.messages import GivenUpNode, RetiredDrive
from directpv_common.protocol.wire import decode, encode
from directpv_controller.registry.kubernetes.apiserver.client import Client, Resource
from directpv_controller.registry.kubernetes.apiserver.errors import Exists, Missing, Refused, Stale

log = logging.getLogger(__name__)

AT_MOST: Final = 4_000
"""Of a kind; a ConfigMap has 1 MiB at most. The oldest are forgotten first."""
TRIES: Final = 10


T = TypeVar("T", bound=RetiredDrive | GivenUpNode)


class Notes(Generic[T]):
    """Those of one kind, of one installation."""

    def __init__(self, client: Client, namespace: str, name: str, kind: type[T], key: Callable[[T], str]) -> None:
        self._client = client
        self._resource = Resource(f"/api/v1/namespaces/{namespace}/configmaps", "configmaps")
        self._namespace, self._name = namespace, name
        self._kind, self._key = kind, key

    async def load(self) -> list[T]:
        """Read all; none while rights to read them are missing, as just before an upgrade.

        Raises:
            Unavailable: No answer.
        """
        try:
            found = await self._client.get(self._resource, self._name)
        except Missing:
            return []
        except Refused as error:
            log.warning("what was given up cannot be read", extra={"object": self._name, "error": error.message})
            return []
        return list(self._read(found))

    async def change(self, kept: tuple[T, ...], forgotten: tuple[T, ...]) -> None:
        """Keep some, and forget some, durably.

        Raises:
            Unavailable: They were not, for certain or not; doing it again does no harm.
        """
        for _ in range(TRIES):
            try:
                return await self._change(kept, forgotten)
            except (Stale, Exists):
                continue
            except Refused as error:
                raise Unavailable(error.message) from error
        raise Unavailable(f"{self._name} is being written by others")

    async def _change(self, kept: tuple[T, ...], forgotten: tuple[T, ...]) -> None:
        try:
            found = await self._client.get(self._resource, self._name)
        except Missing:
            meta: dict[str, Any] = {"name": self._name, "namespace": self._namespace}
            found = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}
        all_ = {self._key(each): each for each in (*self._read(found), *kept)}
        for each in forgotten:
            all_.pop(self._key(each), None)
        newest = sorted(all_.values(), key=lambda each: each.since)[-AT_MOST:]
        wanted = {**found, "data": {self._key(each): encode(each).decode() for each in newest}}
        if "resourceVersion" in found["metadata"]:
            await self._client.replace(self._resource, wanted)
        else:
            await self._client.create(self._resource, wanted)

    def _read(self, found: Object) -> Iterator[T]:
        for text in (found.get("data") or {}).values():
            try:
                yield decode(str(text).encode(), self._kind)
            except InvalidRequest as error:
                log.error("what was given up cannot be read", extra={"object": self._name, "error": error.message})


class GivenUp:
    """Drives and nodes."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.drives: Notes[RetiredDrive] = Notes(
            client, namespace, "directpv-retired-drives", RetiredDrive, lambda each: each.fsuuid
        )
        self.nodes: Notes[GivenUpNode] = Notes(
            client, namespace, "directpv-given-up-nodes", GivenUpNode, lambda each: each.name
        )
