"""Everything that is listed, page by page."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

import msgspec

import directpv_common.protocol.messages as m
from directpv_cli.commands.addresses import resolved
from directpv_cli.showing.terminal.lines import plain, say
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller, Endpoint
from directpv_common.protocol.errors import NotFound, Unavailable

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
