"""``recover``: what drives remember is put back, into the registry and in Kubernetes into volumes and claims."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

import directpv_common.protocol.messages as m
from directpv_cli.commands.disks import ASK_SECONDS, look
from directpv_cli.commands.listing import all_drives, all_nodes, all_volumes
from directpv_cli.install.applying.kube import Cluster, connect
from directpv_cli.reaching.session import run
from directpv_cli.reaching.way import Tunnel, way
from directpv_cli.reading.settings import settings
from directpv_cli.recovering.core.deleted import Deleted
from directpv_cli.recovering.core.drives import Found, Registered, drive_row, twins_of
from directpv_cli.recovering.core.objects import Steps, Wishes, plan
from directpv_cli.recovering.core.rows import CHANGES, Action, Row
from directpv_cli.recovering.core.targets import Targets, targets
from directpv_cli.recovering.reading import read
from directpv_cli.recovering.writing import carry_out, finish
from directpv_cli.showing.terminal import tables
from directpv_cli.showing.terminal.cells import Column, tint
from directpv_cli.showing.terminal.documents import output_format
from directpv_cli.showing.terminal.lines import fail, plain, say, trouble
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller, Node
from directpv_common.protocol.errors import DirectPVError

POLL_SECONDS: Final = 0.2
COLUMNS: Final = (Column("KIND"), Column("NAME"), Column("ACTION"), Column("DETAIL", folds=24))
COLOURS: Final = {Action.EXISTS: "", Action.LEFT: "", Action.CONFLICT: "red"}
NO_CLUSTER: Final = (
    "no kubeconfig is in use, so PersistentVolumes and claims are left out; give --kubeconfig if there is a cluster"
)


@dataclass(frozen=True)
class How:
    """How to recover."""

    dry_run: bool = False
    dangerous: bool = False
    within: float = 120.0
    """Seconds to wait for drives to be taken in, and for claims to be bound."""
    output: str = ""
    wishes: Wishes = field(default_factory=Wishes)


@dataclass
class Result:
    """What was planned, and what of it failed."""

    rows: list[Row] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    silent: dict[str, str] = field(default_factory=dict)
    """Nodes that could not be looked at, with the reason."""


def recover(words: Sequence[str], how: How) -> None:
    """Plan, and unless it is a dry run carry it out; the exit status is 0 only if nothing is left to be done."""
    printer = output_format(how.output, wide=False)
    result = run(lambda bus: _recover(bus, words, how))
    if printer:
        printer([row.document() for row in result.rows])
    elif result.rows:
        tables.show(COLUMNS, [_cells(row) for row in result.rows])
    for failure in result.failures:
        trouble(failure)
    for node, why in result.silent.items():
        say(f"[yellow]node {plain(f'{node}: {why}')}[/yellow]")
    if bad := sum(row.action is Action.CONFLICT for row in result.rows) + len(result.failures):
        fail(f"{bad} could not be recovered; the reasons are above, and what was done stays. Repeat when they are gone")
    changed = sum(row.action in CHANGES for row in result.rows)
    if not changed:
        left = sum(row.action is Action.LEFT for row in result.rows)
        rest = f"all but what is left ({left}, and the table says why)" if left else "all that the drives have"
        say(f"nothing to recover: {rest} is there already")
    elif how.dry_run:
        say(f"{changed} would be changed; nothing was (dry run)")
    else:
        say(f"[green]recovered[/green]: {changed} changed, {len(result.rows) - changed} were there already")


def _cells(row: Row) -> list[str]:
    colour = COLOURS.get(row.action, "green")
    return [row.kind, row.name, tint(row.action.value, colour) if colour else row.action.value, row.detail]


async def _recover(bus: Bus, words: Sequence[str], how: How) -> Result:
    nodes = {node.info.name: node for node in await all_nodes(bus)}
    records = {drive.record.fsuuid: drive.record for drive in await all_drives(bus, m.ListDrives())}
    result = Result()
    found, result.silent = await look(bus, nodes.values())
    meant = targets(words, nodes, found, records.values())
    found = [each for each in found if meant.has(each.node, each.drive.fsuuid)]
    result.failures += [f"node {node}: {why}" for node, why in result.silent.items() if node in meant.nodes]
    result.silent = {node: why for node, why in result.silent.items() if not meant.nodes and not meant.drives}
    known = Registered(records, {name: node.online for name, node in nodes.items()})
    twins = twins_of(found)
    rows = [
        drive_row(
            each,
            twins[each.drive.fsuuid] - {each.node},
            known,
            dangerous=how.dangerous,
            named=each.drive.fsuuid in meant.drives,
        )
        for each in found
    ]
    result.rows += rows
    moving = [each for each, row in zip(found, rows, strict=True) if row.action is Action.ADOPT]
    deleted = await _deleted(bus)
    result.rows += deleted.rows(moving)
    if not how.dry_run:
        await _adopt_all(bus, moving, deleted, meant, how, result)
    await _recover_objects(bus, nodes, moving, deleted, meant, how, result)
    return result


async def _deleted(bus: Bus) -> Deleted:
    """Ask what was deleted and is there still; a controller of an earlier version knows nothing of drives given up."""
    asked = m.ListVolumes(statuses=(m.VolumeStatus.DELETING,))
    known = await all_volumes(bus, asked)
    return Deleted([*known, *await all_volumes(bus, msgspec.structs.replace(asked, given_up=True))])


# ---- drives


async def _adopt_all(
    bus: Bus, moving: Sequence[Found], deleted: Deleted, meant: Targets, how: How, result: Result
) -> None:
    for each in moving:
        request = m.MoveDrive(
            fsuuid=each.drive.fsuuid,
            node=each.node,
            from_node=each.drive.node,
            dangerous=how.dangerous,
            given_up=each.drive.fsuuid in meant.drives,
        )
        try:
            await bus.call(Controller.DRIVE_MOVE_NODE, request, within=how.within)
            await _taken_in(bus, each, each.drive.count - len(deleted.on(each.drive.fsuuid)), how.within)
        except DirectPVError as error:
            result.failures.append(f"{each.title}: {error.message}")


async def _taken_in(bus: Bus, found: Found, count: int, within: float) -> None:
    """Wait until the registry shows the drive on its node with so many volumes, beside those that are deleted."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while True:
        page = await bus.call(Controller.DRIVE_LIST, m.ListDrives(ids=(found.drive.fsuuid,)), within=within)
        for info in page.drives:
            there = info.record.node == found.node and info.record.status is not m.DriveStatus.LOST
            if there and (await _living(bus, info, found.drive.count, count) or loop.time() > end):
                return
        if loop.time() > end:
            raise DirectPVError(f"drive {found.drive.fsuuid} is not registered after {within:g} s; repeat")
        await asyncio.sleep(POLL_SECONDS)


async def _living(bus: Bus, info: m.DriveInfo, had: int, count: int) -> bool:
    """Tell whether the drive has ``count`` volumes that are not being deleted; it ``had`` more if some are."""
    if count == had:
        return info.volumes >= count
    return len(await all_volumes(bus, m.ListVolumes(drives=(info.record.fsuuid,)))) >= count


# ---- objects of Kubernetes


async def _recover_objects(
    bus: Bus,
    nodes: dict[str, m.NodeSummary],
    moving: Sequence[Found],
    deleted: Deleted,
    meant: Targets,
    how: How,
    result: Result,
) -> None:
    if not in_cluster():
        say(NO_CLUSTER)
        return
    volumes = await _volumes(bus, nodes, moving if how.dry_run else (), deleted, meant)
    try:
        async with connect(settings.kubeconfig, settings.context) as cluster:
            steps = plan(volumes, await read(cluster, volumes, how.wishes), how.wishes)
            result.rows += [row for each in steps for row in each.rows]
            if not how.dry_run:
                await _carry_out(cluster, [each for each in steps if each.changes], how, result)
    except DirectPVError as error:
        result.failures.append(error.message)


def in_cluster() -> bool:
    """Tell whether the bus was reached through a kubeconfig, or one was named: never touch a cluster by chance."""
    if settings.kubeconfig or settings.context:
        return True
    return isinstance(way(settings.nats_url, "", os.environ, os.path.exists), Tunnel)


async def _volumes(
    bus: Bus, nodes: dict[str, m.NodeSummary], expected: Sequence[Found], deleted: Deleted, meant: Targets
) -> list[m.VolumeInfo]:
    """Return the volumes of all drives that are meant, and those of drives that are ``expected``, as they would be."""
    listed = {info.record.name: info for info in await all_volumes(bus, m.ListVolumes())}
    volumes = {name: info for name, info in listed.items() if meant.has(info.node, info.record.fsuuid)}
    for each in expected:
        topology = nodes[each.node].info.topology
        for record in [record for record in await _told(bus, each) if not deleted.has(each.drive.fsuuid, record)]:
            volumes[record.name] = m.VolumeInfo(record=record, node=each.node, topology=topology)
    return [volumes[name] for name in sorted(volumes)]


async def _told(bus: Bus, found: Found) -> list[m.VolumeRecord]:
    """Return the volumes on a drive that is not taken in, page by page."""
    records: list[m.VolumeRecord] = []
    request = m.ListSeenDrives(fsuuid=found.drive.fsuuid)
    while True:
        reply = await bus.call(Node.DRIVE_SEEN, request, node=found.node, within=ASK_SECONDS)
        for drive in reply.drives:
            records += drive.volumes
        more = next((drive.more for drive in reply.drives), "")
        if not more:
            return records
        request = msgspec.structs.replace(request, after=more)


async def _carry_out(cluster: Cluster, steps: Sequence[Steps], how: How, result: Result) -> None:
    done: list[Steps] = []
    for each in steps:
        try:
            await carry_out(cluster, each)
            done.append(each)
        except DirectPVError as error:
            result.failures.append(error.message)
    loop = asyncio.get_running_loop()
    end = loop.time() + how.within
    for each in done:
        try:
            await finish(cluster, each, max(1.0, end - loop.time()))
        except DirectPVError as error:
            result.failures.append(error.message)
