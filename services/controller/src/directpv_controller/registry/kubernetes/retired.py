"""Drives that were given up while their disks could not be told: kept in one ConfigMap beside the lease.

Not in upstream's resources: its tools would take them for drives that there are.
"""

import logging
from typing import Any, Final

from directpv_common.crd import Object
from directpv_common.protocol.errors import InvalidRequest, Unavailable
from directpv_common.protocol.messages import RetiredDrive
from directpv_common.protocol.wire import decode, encode
from directpv_controller.registry.kubernetes.apiserver.client import Client, Resource
from directpv_controller.registry.kubernetes.apiserver.errors import Exists, Missing, Refused, Stale

log = logging.getLogger(__name__)

NAME: Final = "directpv-retired-drives"
AT_MOST: Final = 4_000
"""Drives; a ConfigMap has 1 MiB at most. The oldest are forgotten first."""
TRIES: Final = 10


class RetiredDrives:
    """Those of one installation."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._resource = Resource(f"/api/v1/namespaces/{namespace}/configmaps", "configmaps")
        self._namespace = namespace

    async def load(self) -> list[RetiredDrive]:
        """Read all; none while rights to read them are missing, as just before an upgrade.

        Raises:
            Unavailable: No answer.
        """
        try:
            found = await self._client.get(self._resource, NAME)
        except Missing:
            return []
        except Refused as error:
            log.warning("retired drives cannot be read", extra={"error": error.message})
            return []
        return list(_drives(found))

    async def change(self, retired: tuple[RetiredDrive, ...], settled: tuple[RetiredDrive, ...]) -> None:
        """Keep some, and forget some, durably.

        Raises:
            Unavailable: They were not, for certain or not; doing it again does no harm.
        """
        for _ in range(TRIES):
            try:
                return await self._change(retired, settled)
            except (Stale, Exists):
                continue
            except Refused as error:
                raise Unavailable(error.message) from error
        raise Unavailable(f"{NAME} is being written by others")

    async def _change(self, retired: tuple[RetiredDrive, ...], settled: tuple[RetiredDrive, ...]) -> None:
        try:
            found = await self._client.get(self._resource, NAME)
        except Missing:
            meta: dict[str, Any] = {"name": NAME, "namespace": self._namespace}
            found = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}
        drives = {each.fsuuid: each for each in _drives(found)}
        drives |= {each.fsuuid: each for each in retired}
        for each in settled:
            drives.pop(each.fsuuid, None)
        kept = sorted(drives.values(), key=lambda each: each.since)[-AT_MOST:]
        wanted = {**found, "data": {each.fsuuid: encode(each).decode() for each in kept}}
        if "resourceVersion" in found["metadata"]:
            await self._client.replace(self._resource, wanted)
        else:
            await self._client.create(self._resource, wanted)


def _drives(found: Object) -> list[RetiredDrive]:
    drives = []
    for text in (found.get("data") or {}).values():
        try:
            drives.append(decode(str(text).encode(), RetiredDrive))
        except InvalidRequest as error:
            log.error("retired drive cannot be read", extra={"error": error.message})
    return drives
