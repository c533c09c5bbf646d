"""Asks the controller about drives."""

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller as Api


async def listed(bus: Bus, **filters: object) -> dict[str, m.DriveInfo]:
    page = await bus.call(Api.DRIVE_LIST, m.ListDrives(**filters), within=20, attempt=1.0)
    return {info.record.fsuuid: info for info in page.drives}


async def has_status(bus: Bus, fsuuid: str, status: m.DriveStatus) -> bool:
    drives = await listed(bus)
    return fsuuid in drives and drives[fsuuid].record.status is status
