"""The one upgrade in which order matters: servers of NATS that ask who somebody is, after those that ask nobody.

Controllers of this version answer; those before cannot. Servers that ask, with nobody who answers, let in no one.
"""

import asyncio
from typing import Final

from directpv_cli.install.applying.kube import POLL_SECONDS, Cluster
from directpv_cli.install.objects import controller, nats
from directpv_cli.install.objects.base import Object
from directpv_cli.install.objects.paths import Ref
from directpv_common.protocol.errors import FailedPrecondition
from directpv_common.protocol.names import BUS_VOLUME

CONTROLLERS: Final = Ref("Deployment", controller.NAME)
READY_SECONDS: Final = 300.0
"""Images are pulled meanwhile."""


async def expected(cluster: Cluster) -> None:
    """Wait until a controller of this version is ready, if the servers that are there ask nobody yet.

    Raises:
        FailedPrecondition: None is; the servers are to be left as they are.
    """
    live = await cluster.get(Ref("StatefulSet", nats.NAME))
    if live is None or asks(live):
        return
    loop = asyncio.get_running_loop()
    end = loop.time() + READY_SECONDS
    while not one_is_new(await cluster.get(CONTROLLERS)):
        if loop.time() < end:
            await asyncio.sleep(POLL_SECONDS)
            continue
        raise FailedPrecondition(
            f"no controller of this version is ready after {READY_SECONDS:.0f} s; NATS is left as it is, for it would "
            "ask the controllers who may come in, and nobody would answer: look at kubectl -n directpv get pods, and "
            "repeat"
        )


def asks(live: Object) -> bool:
    """Tell whether servers of NATS, by their object, ask who somebody is."""
    volumes = live["spec"]["template"]["spec"].get("volumes") or ()
    return any(volume.get("name") == BUS_VOLUME for volume in volumes)


def one_is_new(live: Object | None) -> bool:
    """Tell whether a pod of a Deployment's present template is ready: there is one, and no pod that is not."""
    status = (live or {}).get("status") or {}
    generation = (live or {}).get("metadata", {}).get("generation", 0)
    if status.get("observedGeneration", 0) < generation or not status.get("updatedReplicas"):
        return False
    updated, pods, ready = (status.get(f"{name}eplicas", 0) for name in ("updatedR", "r", "readyR"))
    return bool(ready > pods - updated)
