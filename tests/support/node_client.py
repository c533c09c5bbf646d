"""Asks one node agent, as gateway and controller would."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.messages import (
    Empty,
    Fence,
    FormatDevice,
    FormatDevices,
    FormatResult,
    GetInventory,
    HeldDrive,
    Inventory,
    PrepareVolumes,
    PublishVolume,
    RemoveVolume,
    StageVolume,
    UnpublishVolume,
    UnstageVolume,
    VolumeRecord,
)
from support.pausing import pause

MIB = 1024 * 1024
FENCE = Fence(registry="test", epoch=1)
WAIT = 100.0
ATTEMPT = 3.0
"""Longer than the agent itself waits before it answers (two seconds at most), or a repeat may miss every answer."""


async def eventually(condition: Callable[[], Awaitable[Any]], what: str, within: float = WAIT) -> Any:
    """Wait until ``condition()`` returns something true; errors of ours count as not yet."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    last: object = None
    while (began := loop.time()) < end:
        try:
            last = await condition()
            if last:
                return last
        except DirectPVError as error:
            last = error
        await asyncio.sleep(pause(loop.time() - began))
    raise AssertionError(f"not within {within} s: {what}; last was {last!r}")


class Client:
    """Asks one agent, as gateway and controller would."""

    def __init__(self, bus: Bus, node: str) -> None:
        self.bus = bus
        self.node = node

    async def ask(self, endpoint: Any, request: Any, within: float = WAIT) -> Any:
        return await self.bus.call(endpoint, request, node=self.node, within=within, attempt=ATTEMPT)

    async def inventory(self) -> Inventory:
        return await self.ask(Node.INVENTORY_GET, GetInventory())  # type: ignore[no-any-return]

    async def held(self, fsuuid: str) -> HeldDrive:
        return next(drive for drive in (await self.inventory()).drives if drive.record.fsuuid == fsuuid)

    async def drive_when(self, fsuuid: str, condition: Callable[[HeldDrive], bool], what: str) -> HeldDrive:
        async def check() -> HeldDrive | None:
            found = [drive for drive in (await self.inventory()).drives if drive.record.fsuuid == fsuuid]
            return found[0] if found and condition(found[0]) else None

        return await eventually(check, what)  # type: ignore[no-any-return]

    async def format(self, *names: str, force: bool = False) -> tuple[FormatResult, ...]:
        devices = {device.name: device for device in (await self.ask(Node.DEVICE_LIST, Empty())).devices}
        wanted = tuple(FormatDevice(id=devices[name].id, name=name, force=force) for name in names)
        reply = await self.ask(Node.DEVICE_FORMAT, FormatDevices(devices=wanted, fence=FENCE), within=60)
        return reply.results  # type: ignore[no-any-return]

    async def make_drive(self, name: str) -> str:
        (result,) = await self.format(name)
        assert result.drive is not None, result.error
        return result.drive.fsuuid

    async def prepare(self, *records: VolumeRecord, fence: Fence = FENCE) -> dict[str, str]:
        return (await self.ask(Node.VOLUME_PREPARE, PrepareVolumes(records=records, fence=fence))).failed  # type: ignore[no-any-return]

    async def make_volume(self, fsuuid: str, name: str, mib: int = 20, **fields: Any) -> VolumeRecord:
        record = VolumeRecord(name=name, fsuuid=fsuuid, capacity=mib * MIB, **fields)
        refused = await self.prepare(record)
        assert refused == {}, refused
        return record

    async def stage(self, name: str, path: Path | str, **fields: Any) -> None:
        await self.ask(Node.VOLUME_STAGE, StageVolume(name=name, staging_path=str(path), **fields))

    async def publish(self, name: str, staging: Path, target: Path, **fields: Any) -> None:
        request = PublishVolume(name=name, staging_path=str(staging), target_path=str(target), **fields)
        await self.ask(Node.VOLUME_PUBLISH, request)

    async def unpublish(self, name: str, target: Path | str) -> None:
        await self.ask(Node.VOLUME_UNPUBLISH, UnpublishVolume(name=name, target_path=str(target)))

    async def unstage(self, name: str, path: Path) -> None:
        await self.ask(Node.VOLUME_UNSTAGE, UnstageVolume(name=name, staging_path=str(path)))

    async def removed(self, fsuuid: str, name: str, incarnation: str | None = None) -> bool:
        """Repeat the order to remove a volume until its data is gone, as the leader does: a busy node may be slow."""

        async def gone() -> bool:
            return await self.remove(fsuuid, name, incarnation=incarnation)

        await eventually(gone, f"{name} is gone")
        return True

    async def remove(self, fsuuid: str, name: str, fence: Fence = FENCE, incarnation: str | None = None) -> bool:
        return (
            await self.ask(
                Node.VOLUME_REMOVE, RemoveVolume(name=name, fsuuid=fsuuid, fence=fence, incarnation=incarnation)
            )
        ).purged  # type: ignore[no-any-return]
