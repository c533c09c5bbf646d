"""The authority that knows NATS' servers: where nodes and people find it, and which servers it does not know yet."""

import asyncio
import functools
import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from directpv_common import crd
from directpv_common.bus.trust import Trust
from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.names import BUS_CA, BUS_CA_KEY, BUS_TLS_PORT, CREATED_BY, NATS_POD, SELECTOR
from directpv_controller.registry.kubernetes.apiserver.client import Client, Resource
from directpv_controller.registry.kubernetes.apiserver.errors import Exists, Missing, Stale

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 60.0
AGAIN_SECONDS: Final = 2.0


class Published:
    """Keeps the certificate in its ConfigMap, as each controller of the installation does: all have the same one.

    Nodes of a new installation wait for it, so that it must not wait for NATS.
    """

    def __init__(self, client: Client, namespace: str, certificate: str) -> None:
        home = f"/api/v1/namespaces/{namespace}"
        self._client, self._certificate = client, certificate
        self._maps = Resource(f"{home}/configmaps", "configmaps")
        selector = quote(f"{SELECTOR}={NATS_POD}", safe="")
        self._servers = Resource(f"{home}/pods?labelSelector={selector}", "pods")

    @functools.cached_property
    def trust(self) -> Trust:
        """By what a controller itself knows servers."""
        return Trust(self._certificate, former=self._former)

    async def run(self) -> None:
        """Write it, and again whenever it is gone or another one, until cancelled."""
        told = ""
        while True:
            pause, said = LOOK_SECONDS, ""
            try:
                await self.publish()
            except DirectPVError as error:
                pause, said = AGAIN_SECONDS, error.message
            if said and said != told:
                log.warning("certificate of the bus not published", extra={"error": said})
            told = said
            await asyncio.sleep(pause)

    async def publish(self) -> None:
        """Write it, unless it is there.

        Raises:
            DirectPVError: Kubernetes refuses, or does not answer.
        """
        metadata = {"name": BUS_CA, "labels": {CREATED_BY: "directpv-controller"}}
        wanted: crd.Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {BUS_CA_KEY: self._certificate},
        }
        try:
            found = await self._client.get(self._maps, BUS_CA)
            if found.get("data") != wanted["data"]:
                version = {"resourceVersion": found["metadata"]["resourceVersion"]}
                await self._client.replace(self._maps, {**wanted, "metadata": {**metadata, **version}})
                log.info("certificate of the bus published", extra={"configmap": BUS_CA})
        except Missing:
            await self._made(wanted)
        except Stale:
            log.debug("certificate of the bus is being written by another controller")

    async def _made(self, wanted: crd.Object) -> None:
        try:
            await self._client.create(self._maps, wanted)
        except Exists:
            return
        log.info("certificate of the bus published", extra={"configmap": BUS_CA})

    async def _former(self) -> bool:
        """Tell whether Kubernetes knows servers of the version before; not, where it says nothing."""
        try:
            found = [is_former(pod) async for page in self._client.pages(self._servers) for pod in page.items]
        except DirectPVError as error:
            log.info("not known whether NATS is of the version before", extra={"error": error.message})
            return False
        return any(found)


def is_former(pod: Mapping[str, Any]) -> bool:
    """Tell whether a pod of NATS is of the version before, and there. Source: Kubernetes, Pod."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return False
    ports = [port.get("name") for each in pod["spec"]["containers"] for port in each.get("ports") or ()]
    return BUS_TLS_PORT not in ports
