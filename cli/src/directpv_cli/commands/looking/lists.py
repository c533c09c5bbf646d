"""``list drives`` and ``list volumes``: once, or again and again."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

import msgspec

import directpv_common.protocol.messages as m
from directpv_cli.commands.listing import all_drives, all_volumes, unwell_drives, usages, warn
from directpv_cli.reaching.session import run
from directpv_cli.reading.selection import UNASKED_DRIVES, UNASKED_VOLUMES, Pods
from directpv_cli.showing import rows
from directpv_cli.showing.health import BEGIN
from directpv_cli.showing.terminal import tables
from directpv_cli.showing.terminal.cells import Column
from directpv_cli.showing.terminal.documents import Document, object_list, output_format
from directpv_cli.showing.terminal.lines import checked, plain, say
from directpv_cli.showing.unwell import causes, hidden, taken
from directpv_common.bus.bus import Bus

T = TypeVar("T")

WATCH_SECONDS: Final = 2.0
"""Between two looks."""


@dataclass(frozen=True)
class Flags:
    """How a list is shown."""

    output: str = ""
    headers: bool = True
    show_labels: bool = False
    pvc: bool = False
    sort_by: str = ""
    watch: bool = False


@dataclass(frozen=True)
class _List(Generic[T]):
    """What one of the lists is."""

    noun: str
    columns: Sequence[Column]
    row: Callable[[T], list[str]]
    object: Callable[[T], dict[str, Any]]
    order: Callable[[T], Any]
    keys: Mapping[str, Callable[[T], Any]]
    unasked: bool = False
    """Whether nobody said which, so that ``--all`` shows more."""


def drives(selection: m.ListDrives, flags: Flags) -> None:
    """Print the drives; unless sorted otherwise, by node, status, size, free space and name."""
    columns = [column._replace(goes=0) if flags.output == "wide" else column for column in rows.DRIVE_COLUMNS]
    kind = _List[m.DriveInfo](
        "drive",
        [*columns, *[rows.LABELS] * flags.show_labels],
        lambda drive: rows.drive_row(drive, labels=flags.show_labels),
        _drive_object,
        rows.drive_order,
        rows.DRIVE_KEYS,
        unasked := selection == UNASKED_DRIVES,
    )

    async def find(bus: Bus) -> tuple[list[m.DriveInfo], list[str]]:
        """Beside the Ready ones, which people see unasked, those that are not are counted."""
        found = await all_drives(bus, selection)
        unwell = await unwell_drives(bus) if unasked and flags.output in ("", "wide") else []
        none = [BEGIN] if unasked and flags.output in ("", "wide") and not (found or unwell) else []
        return found, [*none, *causes(found), *taken(found), *hidden(unwell, found)]

    _show(kind, find, flags)


def volumes(selection: m.ListVolumes, pods: Pods, flags: Flags) -> None:
    """Print the volumes; unless sorted otherwise, by namespace, node, status, capacity, drive, pod and name."""
    wide = flags.output == "wide"
    columns = [column._replace(goes=0) if wide else column for column in rows.VOLUME_COLUMNS]
    columns += [Column("DRIVE ID")] * wide + [Column("PVC")] * flags.pvc + [rows.LABELS] * flags.show_labels
    used: dict[str, m.VolumeStats] = {}
    kind = _List[m.VolumeInfo](
        "volume",
        columns,
        lambda volume: rows.volume_row(volume, wide=wide, pvc=flags.pvc, labels=flags.show_labels),
        lambda volume: _volume_object(volume, used.get(volume.record.name)),
        rows.volume_order,
        rows.VOLUME_KEYS,
        selection == UNASKED_VOLUMES,
    )
    asked = msgspec.structs.replace(selection, deleting=True)

    async def find(bus: Bus) -> tuple[list[m.VolumeInfo], list[str]]:
        found = [volume for volume in await all_volumes(bus, asked) if pods.match(volume)]
        if flags.output not in ("", "wide", "name") and not flags.watch:
            used.update(await usages(bus, found))
        return found, []

    _show(kind, find, flags)


def _drive_object(drive: m.DriveInfo) -> dict[str, Any]:
    from directpv_common import crd  # late: tables need none of it

    return crd.drive_object(drive)


def _volume_object(volume: m.VolumeInfo, usage: m.VolumeStats | None) -> dict[str, Any]:
    from directpv_common import crd

    return crd.volume_object(volume, usage)


def _show(kind: _List[T], find: Callable[[Bus], Awaitable[tuple[list[T], list[str]]]], flags: Flags) -> None:
    printer = output_format(flags.output, names=True)
    order = checked(lambda: _order(kind, flags.sort_by))

    async def work(bus: Bus) -> tuple[list[T], list[str]]:
        found, remarks = await find(bus)
        found.sort(key=order)
        if flags.watch:
            await _watch(bus, kind, find, flags, printer, found)
        return found, remarks

    with contextlib.suppress(KeyboardInterrupt):
        found, remarks = run(work)
        _print(kind, found, remarks, flags, printer)


def _print(kind: _List[T], found: Sequence[T], remarks: Sequence[str], flags: Flags, printer: Document | None) -> None:
    if printer is not None:
        printer(object_list(map(kind.object, found)))
        return
    if found:
        tables.show(kind.columns, map(kind.row, found), headers=flags.headers)
    else:
        more = kind.unasked and not remarks
        say(plain(f"no {kind.noun}s match{f'; --all lists {kind.noun}s in every state' * more}"))
    warn(remarks)


async def _watch(
    bus: Bus,
    kind: _List[T],
    find: Callable[[Bus], Awaitable[tuple[list[T], list[str]]]],
    flags: Flags,
    printer: Document | None,
    found: list[T],
) -> None:
    """Print the list, then each object that changed, until interrupted. As kubectl does, nothing is sorted then."""
    _print(kind, found, [], flags, printer)
    shown = {kind.row(each)[0]: _facts(kind, each) for each in found}
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        found = (await find(bus))[0]
        now = {kind.row(each)[0]: _facts(kind, each) for each in found}
        changed = [each for each in found if shown.get(key := kind.row(each)[0]) != now[key]]
        if changed:
            _print(kind, changed, [], replace(flags, headers=False), printer)
        for key in shown.keys() - now.keys():
            say(plain(f"{kind.noun} {key} is gone"))
        shown = now


def _facts(kind: _List[T], each: T) -> list[str]:
    """Return the cells without the age, which changes by itself."""
    return [cell for column, cell in zip(kind.columns, kind.row(each), strict=True) if column.title != "AGE"]


def _order(kind: _List[T], sort_by: str) -> Callable[[T], Any]:
    """Return what the list is sorted by: a column, or a path into what ``-o json`` prints, as kubectl takes it.

    Raises:
        ValueError: Neither.
    """
    if not sort_by:
        return kind.order
    key = kind.keys.get(sort_by.lower().replace("-", " "))
    if key is not None:
        return key
    if sort_by[0] not in ".{$" or not sort_by.strip("{}"):
        raise ValueError(
            f"--sort-by: there is no column {sort_by!r}; use one of {', '.join(kind.keys)}, or a path such as "
            ".status.totalCapacity"
        )
    from directpv_cli.reading import jsonpath

    path = jsonpath.path(sort_by.strip("{}"))
    return lambda each: [_comparable(value) for value in path(kind.object(each))]


def _comparable(value: object) -> tuple[int, object]:
    """Return what orders numbers before texts, and both before anything else."""
    if isinstance(value, int | float):
        return 0, value
    return (1, value) if isinstance(value, str) else (2, str(value))
