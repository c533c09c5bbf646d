"""``list drives`` and ``list volumes``; everything that is listed page by page."""

from collections.abc import AsyncIterator, Sequence
from typing import Final, TypeVar

import msgspec

import directpv_common.protocol.messages as m
from directpv_cli.commands.addresses import resolved
from directpv_cli.reaching.session import run
from directpv_cli.reading.selection import Pods, pod_of
from directpv_cli.showing import tables
from directpv_cli.showing.ages import age_of
from directpv_cli.showing.cells import Column
from directpv_cli.showing.documents import object_list, output_format
from directpv_cli.showing.lines import fail, plain, say
from directpv_cli.showing.unwell import causes, hidden
from directpv_common import crd
from directpv_common.bus.bus import Bus
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller, Endpoint
from directpv_common.protocol.errors import NotFound

UNWELL: Final = tuple(status for status in m.DriveStatus if status is not m.DriveStatus.READY)

DRIVE_COLUMNS: Final = (
    Column("DRIVE ID"),
    Column("NODE"),
    Column("NAME"),
    Column("MAKE", goes=4),
    Column("SIZE", goes=2),
    Column("FREE", goes=1),
    Column("VOLUMES", goes=3),
    Column("STATUS", state=True, folds=18),
    Column("AGE", goes=5),
)
"""In the order of upstream's, and AGE."""
VOLUME_COLUMNS: Final = (
    Column("VOLUME"),
    Column("CAPACITY", goes=2),
    Column("NODE"),
    Column("DRIVE"),
    Column("PODNAME", goes=1),
    Column("PODNAMESPACE", goes=3),
    Column("STATUS", state=True, folds=18),
    Column("AGE", goes=4),
)
LABELS: Final = Column("LABELS", folds=24)

Q = TypeVar("Q", m.ListDrives, m.ListVolumes, m.ListNodes)
P = TypeVar("P", m.DrivePage, m.VolumePage, m.NodePage)


async def all_drives(bus: Bus, selection: m.ListDrives) -> list[m.DriveInfo]:
    """Return every drive that ``selection`` means, page by page.

    Raises:
        NotFound: There is no drive of an id that it names.
        InvalidRequest: What it names means several.
    """
    selection = msgspec.structs.replace(selection, ids=await resolved(bus, selection.ids))
    found = [drive async for page in _pages(bus, Controller.DRIVE_LIST, selection) for drive in page.drives]
    _require("drive", selection.ids, {drive.record.fsuuid for drive in found})
    return found


async def all_volumes(bus: Bus, selection: m.ListVolumes) -> list[m.VolumeInfo]:
    """Return every volume that ``selection`` means, page by page.

    Raises:
        NotFound: There is no volume of a name that it has.
    """
    selection = msgspec.structs.replace(selection, drives=await resolved(bus, selection.drives))
    found = [volume async for page in _pages(bus, Controller.VOLUME_LIST, selection) for volume in page.volumes]
    _require("volume", selection.names, {volume.record.name for volume in found})
    return found


async def all_nodes(bus: Bus) -> list[m.NodeSummary]:
    """Return every node that the controller knows, page by page."""
    asked = m.ListNodes(paged=True)
    return [node async for page in _pages(bus, Controller.NODE_LIST, asked) for node in page.nodes]


async def _pages(bus: Bus, endpoint: Endpoint[Q, P], selection: Q) -> AsyncIterator[P]:
    while True:
        page = await bus.call(endpoint, selection)
        yield page
        if not page.next:
            return
        selection = msgspec.structs.replace(selection, token=page.next)


def drives(selection: m.ListDrives, *, output: str, headers: bool, show_labels: bool) -> None:
    """Print the drives; sorted by node, status, size, free space and name."""
    printer = output_format(output)
    found, unwell = run(lambda bus: _drives_and_unwell(bus, selection, ask=printer is None))
    found.sort(key=lambda d: (d.record.node, d.record.status, d.record.total, d.free, d.record.device))
    if printer:
        printer(object_list(map(crd.drive_object, found)))
        return
    left = hidden(unwell, found)
    if not found:
        fail("; ".join(["no drives match", *(left or ["`--all` lists drives in every state"])]))
    columns = [column._replace(goes=0) if output == "wide" else column for column in DRIVE_COLUMNS]
    columns += [LABELS] * show_labels
    tables.show(columns, [drive_row(drive, labels=show_labels) for drive in found], headers=headers)
    warn([*causes(found), *left])


def warn(lines: Sequence[str]) -> None:
    """Print what is not well below a table, on standard error."""
    for line in lines:
        say(f"[yellow]{plain(line)}[/yellow]")


async def unwell_drives(bus: Bus) -> list[m.DriveInfo]:
    """Return the drives that are in any state but Ready."""
    return await all_drives(bus, m.ListDrives(statuses=UNWELL))


async def _drives_and_unwell(
    bus: Bus, selection: m.ListDrives, *, ask: bool
) -> tuple[list[m.DriveInfo], list[m.DriveInfo]]:
    """Return the selected drives; beside the Ready ones, which people see unasked, also those that are not."""
    found = await all_drives(bus, selection)
    unasked = selection == m.ListDrives(statuses=(m.DriveStatus.READY,))
    return found, await unwell_drives(bus) if ask and unasked else []


def drive_row(drive: m.DriveInfo, *, labels: bool) -> list[str]:
    """Return a drive's cells, in the order of :data:`DRIVE_COLUMNS`."""
    record = drive.record
    return [
        record.fsuuid,
        record.node,
        record.device,
        record.make,
        tables.size(record.total),
        tables.size(drive.free),
        str(drive.volumes) if drive.volumes else "",
        drive_state(record) + ",Offline" * (not drive.online),
        age_of(record.created),
        *([label_text(record.labels)] if labels else []),
    ]


def drive_state(record: m.DriveRecord) -> str:
    """Return the status with its suffixes, as upstream shows it."""
    suspended = names.is_suspended(record.labels)
    return f"{record.status}{',SchedulingDisabled' * record.unschedulable}{',Suspended' * suspended}"


def label_text(labels: dict[str, str]) -> str:
    """Return what people labelled, without the group's prefix."""
    pairs = sorted(names.user_labels(labels).items())
    return ",".join(f"{key.removeprefix(names.GROUP + '/')}={value}" for key, value in pairs)


def volumes(selection: m.ListVolumes, pods: Pods, *, output: str, headers: bool, show_labels: bool, pvc: bool) -> None:
    """Print the volumes; sorted by namespace, node, status, capacity, drive, pod and name."""
    printer = output_format(output)
    selection = msgspec.structs.replace(selection, deleting=True)
    found = [volume for volume in run(lambda bus: all_volumes(bus, selection)) if pods.match(volume)]
    found.sort(key=lambda v: (pod_of(v)[1], v.node, v.status, v.record.capacity, v.device, v.record.name))
    if printer:
        printer(object_list(map(crd.volume_object, found)))
        return
    if not found:
        fail("no volumes match; `--all` lists volumes in every state")
    wide = output == "wide"
    columns = [column._replace(goes=0) if wide else column for column in VOLUME_COLUMNS]
    columns += [Column("DRIVE ID")] * wide + [Column("PVC")] * pvc + [LABELS] * show_labels
    rows = [volume_row(volume, wide=wide, pvc=pvc, labels=show_labels) for volume in found]
    tables.show(columns, rows, headers=headers)


def volume_row(volume: m.VolumeInfo, *, wide: bool, pvc: bool, labels: bool) -> list[str]:
    """Return a volume's cells, in the order of :data:`VOLUME_COLUMNS`."""
    record = volume.record
    claim = f"{record.pvc_namespace}/{record.pvc_name}" if record.pvc_name else ""
    return [
        record.name,
        tables.size(record.capacity),
        volume.node,
        volume.device,
        *pod_of(volume),
        f"{volume.status}{',Suspended' * names.is_suspended(record.labels)}",
        age_of(record.created),
        *([record.fsuuid] if wide else []),
        *([claim] if pvc else []),
        *([label_text(record.labels)] if labels else []),
    ]


def _require(noun: str, asked: tuple[str, ...], found: set[str]) -> None:
    missing = [name for name in asked if name not in found]
    if missing:
        raise NotFound(f"{noun} not found: {', '.join(missing)}")
