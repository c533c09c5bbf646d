"""Claims and pods in a cluster without machines: what the scheduler is told of nodes, and where it puts pods."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from bench.many_nodes import Running
from bench.scale import CLAIM, PODS, claim, pod
from directpv_common.protocol import names
from directpv_controller.registry.kubernetes.apiserver.client import Client
from support.kube.api import KubectlError
from support.kube.apiserver import ApiServer

WITHIN: Final = 240.0
"""Seconds until something is seen; the provisioner asks for all capacities anew each minute."""
_UNITS: Final = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}


class Room(NamedTuple):
    """Free bytes of a node."""

    total: int
    largest: int
    """On one drive."""


class World:
    """The cluster."""

    def __init__(self, running: Running, client: Client) -> None:
        self.server: ApiServer = running.server
        self._client = client

    def room(self) -> dict[str, Room]:
        """Return what the drives of each node have free."""
        free: dict[str, list[int]] = {}
        for each in self.server.objects("directpvdrives"):
            free.setdefault(each["metadata"]["labels"][names.NODE], []).append(each["status"]["freeCapacity"])
        return {node: Room(sum(sizes), max(sizes)) for node, sizes in free.items()}

    def published(self) -> dict[str, Room]:
        """Return what CSIStorageCapacity objects say of each node."""
        return {
            each["nodeTopology"]["matchLabels"][names.NODE]: Room(
                _bytes(each["capacity"]), _bytes(each["maximumVolumeSize"])
            )
            for each in self.server.objects("csistoragecapacities", "-n", "default")
        }

    async def told(self) -> dict[str, Room]:
        """Wait until the scheduler is told what drives have free, of all nodes; return it."""

        def agree() -> dict[str, Room] | None:
            published, room = self.published(), self.room()
            return room if published == room and len(room) == len(self.server.objects("nodes")) else None

        found: dict[str, Room] = await self.until(agree, "capacity objects say what drives have free")
        return found

    async def claim(self, name: str, size: int) -> None:
        """Make a claim."""
        made = claim(name)
        made["spec"]["resources"]["requests"]["storage"] = str(size)
        await self._client.create(CLAIM, made)

    async def run(self, name: str, of: str = "", scheduler: str = "default-scheduler") -> None:
        """Make a pod for the claim ``of``, or for the one of its name."""
        made = pod(of or name)
        made["metadata"]["name"], made["spec"]["schedulerName"] = name, scheduler
        await self._client.create(PODS, made)

    def csi_nodes(self) -> list[dict[str, Any]]:
        """Return what kubelets say of drivers."""
        return self.server.objects("csinodes")

    def pod(self, name: str) -> dict[str, Any]:
        """Return a pod's object."""
        (found,) = self.server.objects("pods", "-n", "default", f"--field-selector=metadata.name={name}")
        return found

    async def node_of(self, name: str) -> str:
        """Return the node that a pod was bound to."""
        found: str = await self.until(lambda: self.pod(name)["spec"].get("nodeName"), f"pod {name} has a node")
        return found

    async def drive_of(self, name: str) -> str:
        """Return the node of the drive that has a claim's volume."""

        def look() -> str:
            claims = self.server.objects("pvc", "-n", "default")
            volume = next(each["spec"].get("volumeName", "") for each in claims if each["metadata"]["name"] == name)
            made = self.server.objects("directpvvolumes") if volume else []
            return next((_node(each) for each in made if each["metadata"]["name"] == volume), "")

        found: str = await self.until(look, f"claim {name} has a volume")
        return found

    async def until(self, look: Callable[[], Any], what: str) -> Any:
        """Return the first answer that is true."""
        end = time.monotonic() + WITHIN
        while True:
            with contextlib.suppress(
                KubectlError
            ):  # of resources that were defined just now it says: too many requests
                if found := await asyncio.to_thread(look):
                    return found
            assert time.monotonic() < end, f"not within {WITHIN:.0f} s: {what}"
            await asyncio.sleep(0.2)


def _node(thing: dict[str, Any]) -> str:
    return str(thing["metadata"]["labels"][names.NODE])


def _bytes(quantity: str) -> int:
    unit = _UNITS.get(quantity[-2:])
    return int(quantity[:-2]) * unit if unit else int(quantity)
