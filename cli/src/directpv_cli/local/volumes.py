"""``directpv volume``: volumes of the stack on this machine, for people; CSI is spoken for them.

A volume that is mounted is staged and published as kubelet would do it, so that all rules hold: its size, its drive,
what a deletion may destroy.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from grpclib.exceptions import GRPCError

import directpv_common.protocol.messages as m
from directpv_cli.commands.listing import all_volumes
from directpv_cli.local.csi_client import CALL_SECONDS, capability, connect, creation
from directpv_cli.local.stack import NodeStack, Stack
from directpv_cli.reaching.session import run
from directpv_cli.reading.settings import settings
from directpv_cli.showing import tables
from directpv_cli.showing.cells import Column
from directpv_cli.showing.lines import plain, say
from directpv_common.bus.bus import Bus
from directpv_common.calls.scopes import timeout
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller
from directpv_common.protocol.units import format_bytes
from directpv_csi_gateway.pb import csi_pb2 as csi

T = TypeVar("T")

COLUMNS: Final = (
    Column("VOLUME"),
    Column("CAPACITY"),
    Column("NODE"),
    Column("DEVICE"),
    Column("STATUS", state=True),
    Column("MOUNTED AT", folds=24),
)


class VolumeError(Exception):
    """It could not be done; the text says why."""


def create(stack: Stack, name: str, size: int, node: str) -> None:
    """Make a volume; one of this name and size is left as it is.

    Raises:
        VolumeError: There is no room, or another one of this name.
    """
    asked = creation(name, size)
    if node:
        _node(stack, node)
        asked.accessibility_requirements.requisite.append(csi.Topology(segments={names.NODE: node}))

    async def work() -> csi.Volume:
        async with connect(stack.nodes[0].csi_socket) as client:
            return (await _answer(client.controller.CreateVolume(asked))).volume

    known = name in {each.record.name for each in _asked(stack, lambda bus: all_volumes(bus, m.ListVolumes()))}
    made = asyncio.run(work())
    place = made.accessible_topology[0].segments.get(names.NODE, "") if made.accessible_topology else ""
    done = "exists already" if known else "created"
    say(plain(f"Volume {made.volume_id} {done}: {format_bytes(made.capacity_bytes)} on {place}"))


def show(stack: Stack) -> None:
    """List all volumes, with where they are mounted."""
    found = _asked(stack, lambda bus: all_volumes(bus, m.ListVolumes(deleting=True)))
    if not found:
        say("no volumes; directpv volume create NAME makes one")
        return
    rows = [
        [
            each.record.name,
            format_bytes(each.record.capacity),
            each.node,
            each.device,
            str(each.status),
            " ".join(each.use.published),
        ]
        for each in found
    ]
    tables.show(COLUMNS, rows)


def mount(stack: Stack, name: str, path: Path) -> None:
    """Mount a volume at ``path``, a directory that is empty or not there; a repeat changes nothing.

    Raises:
        VolumeError: There is no such volume, or its node refuses.
    """
    info = _volume(stack, name)
    node, target = _node(stack, info.node), str(path.absolute())
    _require_empty(path, info)
    staging, context = _staging(stack, node, name), _context(info.record)
    Path(staging).parent.mkdir(parents=True, exist_ok=True)
    how: dict[str, Any] = {"volume_id": name, "volume_capability": capability(), "volume_context": context}

    async def work() -> None:
        async with connect(node.csi_socket) as client:
            stage = csi.NodeStageVolumeRequest(staging_target_path=staging, **how)
            await _answer(client.node.NodeStageVolume(stage))
            publish = csi.NodePublishVolumeRequest(staging_target_path=staging, target_path=target, **how)
            await _answer(client.node.NodePublishVolume(publish))

    asyncio.run(work())
    say(plain(f"Volume {name} mounted at {target}"))


def unmount(stack: Stack, name: str) -> None:
    """Unmount a volume wherever it is mounted, and leave empty directories there, as umount does.

    Raises:
        VolumeError: There is no such volume, or its node refuses, for it is in use.
    """
    info = _volume(stack, name)
    node = _node(stack, info.node)

    async def work() -> None:
        async with connect(node.csi_socket) as client:
            for target in info.use.published:
                gone = csi.NodeUnpublishVolumeRequest(volume_id=name, target_path=target)
                await _answer(client.node.NodeUnpublishVolume(gone))
            staging = info.use.staged or _staging(stack, node, name)
            left = csi.NodeUnstageVolumeRequest(volume_id=name, staging_target_path=staging)
            await _answer(client.node.NodeUnstageVolume(left))

    asyncio.run(work())
    for target in info.use.published:
        Path(target).mkdir(exist_ok=True)  # CSI took the directory away, which may be the user's own
    mounted = info.use.published or info.use.staged
    say(plain(f"Volume {name} {'unmounted' if mounted else 'was not mounted'}"))


def remove(stack: Stack, name: str) -> None:
    """Delete a volume that is mounted nowhere, with its data.

    Raises:
        VolumeError: It is mounted, or there is no such volume.
    """
    info = _volume(stack, name)
    if info.use.published or info.use.staged:
        raise VolumeError(f"volume {name} is mounted; directpv volume unmount {name} first")

    async def work() -> None:
        async with connect(stack.nodes[0].csi_socket) as client:
            await _answer(client.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=name)))

    asyncio.run(work())
    say(plain(f"Volume {name} deleted"))


def _volume(stack: Stack, name: str) -> m.VolumeInfo:
    try:
        request = m.VolumeId(name=name)
    except TypeError as error:
        raise VolumeError(str(error)) from error
    return _asked(stack, lambda bus: bus.call(Controller.VOLUME_GET, request))


def _asked(stack: Stack, work: Callable[[Bus], Awaitable[T]]) -> T:
    settings.nats_url = stack.nats_url
    return run(work)


def _node(stack: Stack, name: str) -> NodeStack:
    for node in stack.nodes:
        if node.name == name:
            return node
    raise VolumeError(f"this stack has no node {name}; it has {', '.join(node.name for node in stack.nodes)}")


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


async def _answer(call: Awaitable[T]) -> T:
    try:
        async with timeout(CALL_SECONDS):
            return await call
    except GRPCError as error:
        raise VolumeError(f"{error.message}") from error
    except (TimeoutError, OSError):
        raise VolumeError("the CSI gateway does not answer; directpv status shows what runs") from None
