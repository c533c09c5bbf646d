"""Everything that is listed, page by page."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final, TypeVar

import msgspec

import directpv_common.protocol.messages as m
from directpv_cli.commands.addresses import resolved
from directpv_cli.showing.terminal.lines import plain, say
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller, Endpoint, Node
from directpv_common.protocol.errors import DirectPVError, NotFound, Unavailable

ASKED_AT_MOST: Final = 100
"""Volumes whose nodes are asked how full they are."""
USAGE_SECONDS: Final = 10.0
Q = TypeVar("Q", m.ListDrives, m.ListVolumes, m.ListNodes)
P = TypeVar("P", m.DrivePage, m.VolumePage, m.NodePage)


async def all_drives(bus: Bus, selection: m.ListDrives, *, required: bool = True) -> list[m.DriveInfo]:
    """Return every drive that ``selection`` means, page by page.

    Raises:
        NotFound: There is no drive of an id that it names, and it is ``required``.
        InvalidRequest: What it names means several.
    """
    selection = msgspec.structs.replace(selection, ids=await resolved(bus, selection.ids))
    found = [drive async for page in _pages(bus, Controller.DRIVE_LIST, selection) for drive in page.drives]
    if required:
        _require("drive", selection.ids, {drive.record.fsuuid for drive in found})
    return found


async def all_volumes(bus: Bus, selection: m.ListVolumes, *, required: bool = True) -> list[m.VolumeInfo]:
    """Return every volume that ``selection`` means, page by page.

    Raises:
        NotFound: There is no volume of a name that it has, and it is ``required``.
    """
    selection = msgspec.structs.replace(selection, drives=await resolved(bus, selection.drives))
    found = [volume async for page in _pages(bus, Controller.VOLUME_LIST, selection) for volume in page.volumes]
    if required:
        _require("volume", selection.names, {volume.record.name for volume in found})
    return found


async def all_nodes(bus: Bus, *, patient: bool = True) -> list[m.NodeSummary]:
    """Return every node that the controller knows, page by page.

    Raises:
        Unavailable: There is no controller that leads; at once, unless ``patient``.
    """
    asked = m.ListNodes(paged=True)
    pages = _pages(bus, Controller.NODE_LIST, asked, patient=patient)
    return [node async for page in pages for node in page.nodes]


async def _pages(bus: Bus, endpoint: Endpoint[Q, P], selection: Q, *, patient: bool = True) -> AsyncIterator[P]:
    while True:
        page = await bus.call(endpoint, selection, patient=patient)
        yield page
        if not page.next:
            return
        selection = msgspec.structs.replace(selection, token=page.next)


def warn(lines: Sequence[str]) -> None:
    """Print what is not well below a table, on standard error."""
    for line in lines:
        say(f"[yellow]{plain(line)}[/yellow]")


async def unwell_drives(bus: Bus) -> list[m.DriveInfo]:
    """Return the drives that are in any state but Ready, also in such that a later version has."""
    found = await all_drives(bus, m.ListDrives(unwell=True))
    return [drive for drive in found if drive.record.status is not m.DriveStatus.READY]


def _require(noun: str, asked: tuple[str, ...], found: set[str]) -> None:
    missing = [name for name in asked if name not in found]
    if missing:
        raise NotFound(f"{noun} not found: {', '.join(missing)}")


async def moves_of(bus: Bus, names: tuple[str, ...] = ()) -> Sequence[m.MoveStatus]:
    """Return the moves that have not ended, of some volumes or all; none from a version that knows of none."""
    with contextlib.suppress(Unavailable):
        return (await bus.call(Controller.MOVE_LIST, m.ListMoves(names=names), patient=False)).moves
    return ()


async def usages(bus: Bus, volumes: Sequence[m.VolumeInfo]) -> dict[str, m.VolumeStats]:
    """Ask nodes how full volumes are; those of which that is not known are left out, and all if there are many."""
    if len(volumes) > ASKED_AT_MOST:
        say(f"how full {len(volumes)} volumes are is not asked for; name {ASKED_AT_MOST} at most, or see: top volumes")
        return {}
    asked = [volume for volume in volumes if not volume.record.deleting and volume.status != m.VolumeStatus.LOST]
    told = await asyncio.gather(*(usage_of(bus, volume) for volume in asked))
    return {volume.record.name: usage for volume, usage in zip(asked, told, strict=True) if not isinstance(usage, str)}


async def usage_of(bus: Bus, info: m.VolumeInfo) -> m.VolumeStats | str:
    """Ask the volume's node how full it is; return why that is not known otherwise."""
    asked = m.GetVolumeUsage(name=info.record.name, fsuuid=info.record.fsuuid)
    try:
        usage = await bus.call(Node.VOLUME_USAGE, asked, node=info.node, within=USAGE_SECONDS, patient=False)
    except Unavailable as error:
        return f"{error.message}; or its agent is of a version that does not tell"
    except DirectPVError as error:
        return error.message
    return usage.condition if usage.abnormal and not usage.inodes_total else usage
