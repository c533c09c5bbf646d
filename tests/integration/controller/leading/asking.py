"""What the tests of leadership ask a controller."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.errors import NoCapacity
from integration.controller.harness import Controller
from integration.controller.node import GIB

Start = Callable[..., Controller]


async def create(bus: Bus, name: str, size: int = GIB, within: float = 30.0) -> m.VolumeInfo:
    """Create a volume; asked again as long as no drive is known at all, as it is in a registry that was just made."""
    asked, end = m.CreateVolume(name=name, required=size), time.monotonic() + within
    while True:
        try:
            return await bus.call(Api.VOLUME_CREATE, asked, within=within, attempt=1.0)
        except NoCapacity as error:
            if not error.message.endswith(": no drives") or time.monotonic() > end:
                raise
        await asyncio.sleep(0.1)


async def listed(bus: Bus) -> dict[str, m.VolumeRecord]:
    found: dict[str, m.VolumeRecord] = {}
    token = ""
    while True:
        page = await bus.call(Api.VOLUME_LIST, m.ListVolumes(token=token), within=20, attempt=1.0)
        found.update((info.record.name, info.record) for info in page.volumes)
        token = page.next
        if not token:
            return found


async def leader(bus: Bus) -> dict[str, str]:
    """Return the metadata of the service that answers."""
    with contextlib.suppress(Exception):
        reply = await bus.client.request("$SRV.INFO.directpv-controller", b"", timeout=0.5)
        return dict(json.loads(reply.data)["metadata"])
    return {}
