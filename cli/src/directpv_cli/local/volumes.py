"""``directpv volume``: volumes of the stack on this machine, for people; CSI is spoken for them.

A volume that is mounted is staged and published as kubelet would do it, so that all rules hold: its size, its drive,
what a deletion may destroy.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import directpv_common.protocol.messages as m
from directpv_cli.commands.listing import all_drives, all_nodes, all_volumes
from directpv_cli.local.calling import (
    NoRoom,
    Seen,
    VolumeError,
    answer,
    asked,
    away,
    known_volume,
    node_of,
    suspension,
    volume_of,
)
from directpv_cli.local.csi_client import CsiClient, capability, connect, creation
from directpv_cli.local.machine import disks, places
from directpv_cli.local.stack import NodeStack, Stack
from directpv_cli.showing.terminal import tables
from directpv_cli.showing.terminal.cells import Column
from directpv_cli.showing.terminal.lines import plain, say
from directpv_common.bus.bus import Bus
from directpv_common.protocol import names
from directpv_common.protocol.errors import NotFound
from directpv_common.protocol.units import format_bytes
from directpv_csi_gateway.pb import csi_pb2 as csi

INIT: Final = "kubectl-directpv init drives.yaml --dangerous"
COLUMNS: Final = (
    Column("VOLUME"),
    Column("CAPACITY"),
    Column("NODE"),
    Column("DEVICE"),
    Column("STATUS", state=True),
    Column("MOUNTED AT", folds=24),
)


def create(stack: Stack, name: str, size: int, node: str) -> None:
    """Make a volume; one of this name and size is left as it is.

    Raises:
        VolumeError: There is no room, or another one of this name; or the node that was named is away.
    """
    wanted = creation(name, size)
    if node:
        node_of(stack, node)
        wanted.accessibility_requirements.requisite.append(csi.Topology(segments={names.NODE: node}))

    async def look(bus: Bus) -> tuple[int, str, list[m.DriveInfo]]:
        sizes = {each.record.name: each.record.capacity for each in await all_volumes(bus, m.ListVolumes())}
        gone = away(stack, await all_nodes(bus), node) if node else ""
        return sizes.get(name, 0), gone, await all_drives(bus, m.ListDrives())

    async def work() -> csi.Volume:
        async with connect(stack.nodes[0].csi_socket) as client:
            return (await answer(client.controller.CreateVolume(wanted))).volume

    known, gone, drives = asked(stack, look)
    if gone:
        raise VolumeError(gone)
    if known not in (0, size):
        raise VolumeError(f"--size: there is a volume {name} already, of {format_bytes(known)}; choose another name")
    try:
        made = asyncio.run(work())
    except NoRoom as error:
        raise VolumeError(
            why_no_room(str(error), size, [drive for drive in drives if node in ("", drive.record.node)])
        ) from error
    place = made.accessible_topology[0].segments.get(names.NODE, "") if made.accessible_topology else ""
    done = "exists already" if known else "created"
    say(plain(f"Volume {made.volume_id} {done}: {format_bytes(made.capacity_bytes)} on {place}"))


def why_no_room(said: str, size: int, drives: Sequence[m.DriveInfo]) -> str:
    """Return why no drive takes a volume of ``size`` bytes, and what to do.

    Args:
        said: What the controller says.
        size: Bytes that were asked for.
        drives: Those that could have taken it.
    """
    if not drives:
        return f"no drive is initialised; kubectl-directpv discover, then {INIT}"
    if size > max(drive.free for drive in drives):
        return f"--size: {said}; ask for less, or delete volumes: directpv volume list"
    return f"{said}; kubectl-directpv status says what is not well"


def show(stack: Stack) -> None:
    """List all volumes, with where they are mounted."""

    async def look(bus: Bus) -> tuple[list[m.VolumeInfo], list[m.DriveInfo], list[m.NodeSummary]]:
        found = await all_volumes(bus, m.ListVolumes(deleting=True))
        return found, await all_drives(bus, m.ListDrives()), await all_nodes(bus)

    found, drives, nodes = asked(stack, look)
    if not found:
        begin = f"no volumes, and no drive is initialised; kubectl-directpv discover, then {INIT}"
        say("no volumes; directpv volume create NAME makes one" if drives else begin)
        return
    tables.show(COLUMNS, [_row(stack, each, drives, nodes) for each in found])


def _row(stack: Stack, info: m.VolumeInfo, drives: list[m.DriveInfo], nodes: list[m.NodeSummary]) -> list[str]:
    record = info.record
    suspended, offline = bool(suspension(info, drives)), bool(away(stack, nodes, info.node))
    status = f"{info.status}{',Suspended' * suspended}{',Offline' * offline}"
    empty = [f"{target} (empty, while it was suspended)" for target in _stand_ins(stack, info)]
    places_of = " ".join([*info.use.published, *empty])
    return [record.name, format_bytes(record.capacity), info.node, info.device, status, places_of]


def mount(stack: Stack, name: str, path: Path) -> None:
    """Mount a volume at ``path``, a directory that is empty or not there; a repeat changes nothing.

    What stood in there for the volume while it was suspended makes way.

    Raises:
        VolumeError: There is no such volume, it is suspended, or its node is away or refuses.
    """
    seen = volume_of(stack, name)
    node, target = node_of(stack, seen.info.node), str(path.absolute())
    _require_mountable(seen, node, target)
    _require_empty(path, seen.info)
    Path(_staging(stack, node, name)).parent.mkdir(parents=True, exist_ok=True)
    places.note(stack.directory, name, target)

    async def work() -> bool:
        async with connect(node.csi_socket) as client:
            if places.shows_stand_in(node.root, target):
                await answer(client.node.NodeUnpublishVolume(_unpublish(name, target)))
            await _publish(client, seen.info, _staging(stack, node, name), target)
            empty = places.shows_stand_in(node.root, target)
            if empty:
                await answer(client.node.NodeUnpublishVolume(_unpublish(name, target)))
            return not empty

    if not asyncio.run(work()):
        path.mkdir(exist_ok=True)  # CSI took the directory away, which may be the user's own
        places.forget(stack.directory, name, [target])
        raise VolumeError(f"volume {name} was suspended just now; repeat, to hear how it is resumed")
    say(plain(f"Volume {name} mounted at {target}"))


async def _publish(client: CsiClient, info: m.VolumeInfo, staging: str, target: str) -> None:
    record = info.record
    how: dict[str, Any] = {
        "volume_id": record.name,
        "volume_capability": capability(),
        "volume_context": _context(record),
        "staging_target_path": staging,
    }
    await answer(client.node.NodeStageVolume(csi.NodeStageVolumeRequest(**how)))
    await answer(client.node.NodePublishVolume(csi.NodePublishVolumeRequest(target_path=target, **how)))


def _require_mountable(seen: Seen, node: NodeStack, target: str) -> None:
    if seen.away:
        raise VolumeError(seen.away)
    if target in seen.info.use.published:
        return  # a suspended volume that is mounted stays so
    if seen.suspended:
        raise VolumeError(f"{seen.suspended}, then repeat: until then only an empty directory could be shown")
    if not Path(target).parent.is_dir():
        raise VolumeError(f"{target}: there is no directory {Path(target).parent}; make it first")
    if places.is_mount_point(target) and not places.shows_stand_in(node.root, target):
        raise VolumeError(f"{target}: something else is mounted there; unmount that, or choose another directory")


def unmount(stack: Stack, name: str) -> None:
    """Unmount a volume wherever it is mounted, and leave empty directories there, as umount does.

    Raises:
        VolumeError: There is no such volume, or its node is away or refuses, for it is in use.
    """
    seen, noted = known_volume(stack, name), places.noted(stack.directory, name)
    if seen is None:
        found = [place for node in stack.nodes if (place := _left(stack, node, name, noted))]
        if not found:
            raise VolumeError(f"volume {name} does not exist, and nothing of it is mounted")
    else:
        node = node_of(stack, seen.info.node)
        if seen.away:
            raise VolumeError(seen.away)
        use = seen.info.use
        drive = seen.info.record.fsuuid
        ours = [
            target
            for target in noted
            if places.is_ours(node.root, drive, target) or places.shows_volume(node.root, name, target)
        ]
        targets = list(dict.fromkeys([*use.published, *ours]))
        found = [Mounted(node, use.staged or _staging(stack, node, name), targets, bool(targets or use.staged))]
    for mounted in found:
        _take_away(name, mounted)
    places.forget(stack.directory, name, noted)
    done = "unmounted" if any(mounted.anywhere for mounted in found) else "was not mounted"
    say(plain(f"Volume {name} {done}{'; the controller does not know it' * (seen is None)}"))


class Mounted(NamedTuple):
    """Where a node has a volume mounted."""

    node: NodeStack
    staging: str
    targets: list[str]
    anywhere: bool = True


def _left(stack: Stack, node: NodeStack, name: str, noted: Sequence[str]) -> Mounted | None:
    """Return where a volume is still mounted that no drive of the registry has: its drive was given up meanwhile."""
    staging = _staging(stack, node, name)
    at = disks.numbers_at([staging, *noted])
    if staging not in at:
        return None
    return Mounted(node, staging, [target for target in noted if at.get(target) == at[staging]])


def _take_away(name: str, mounted: Mounted) -> None:
    async def work() -> None:
        async with connect(mounted.node.csi_socket) as client:
            for target in mounted.targets:
                await answer(client.node.NodeUnpublishVolume(_unpublish(name, target)))
            left = csi.NodeUnstageVolumeRequest(volume_id=name, staging_target_path=mounted.staging)
            await answer(client.node.NodeUnstageVolume(left))

    asyncio.run(work())
    for target in mounted.targets:
        Path(target).mkdir(exist_ok=True)  # CSI took the directory away, which may be the user's own


def remove(stack: Stack, name: str) -> None:
    """Delete a volume that is mounted nowhere, with its data; on a node that is away, when that is back.

    Raises:
        VolumeError: It is mounted, or there is no such volume.
    """
    seen = volume_of(stack, name)
    if seen.info.use.published or seen.info.use.staged or _stand_ins(stack, seen.info):
        raise VolumeError(f"volume {name} is mounted; directpv volume unmount {name} first")

    async def work() -> None:
        async with connect(stack.nodes[0].csi_socket) as client:
            await answer(client.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=name)))

    async def left(bus: Bus) -> bool:
        try:
            return bool(await all_volumes(bus, m.ListVolumes(names=(name,), deleting=True)))
        except NotFound:
            return False

    asyncio.run(work())
    places.forget(stack.directory, name, places.noted(stack.directory, name))
    if seen.away and asked(stack, left):
        say(plain(f"Volume {name} will be deleted, data and all, when node {seen.info.node} is back"))
    else:
        say(plain(f"Volume {name} deleted"))


def _unpublish(name: str, target: str) -> csi.NodeUnpublishVolumeRequest:
    return csi.NodeUnpublishVolumeRequest(volume_id=name, target_path=target)


def _stand_ins(stack: Stack, info: m.VolumeInfo) -> list[str]:
    """Return where people have nothing but the stand-in of the volume."""
    roots = [node.root for node in stack.nodes if node.name == info.node]
    return places.stand_ins(stack.directory, info.record.name, roots[0]) if roots else []


def _staging(stack: Stack, node: NodeStack, name: str) -> str:
    return str(stack.directory / "nodes" / node.name / "staging" / name)


def _context(record: m.VolumeRecord) -> dict[str, str]:
    """Return what CreateVolume gave as the volume's context."""
    facts = {names.DRIVE: record.fsuuid, names.VOLUME_SIZE: str(record.capacity), names.INCARNATION: record.incarnation}
    return {key: value for key, value in facts.items() if value}


def _require_empty(path: Path, info: m.VolumeInfo) -> None:
    try:
        full = str(path.absolute()) not in info.use.published and path.exists() and any(path.iterdir())
    except OSError as error:
        raise VolumeError(f"{path}: {error.strerror}") from error
    if full:
        raise VolumeError(f"{path} is not empty: what is in it would be hidden; choose another directory")
