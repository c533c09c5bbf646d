"""What ``directpv volume`` asks: the bus of the stack, and the CSI sockets of its nodes."""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

from grpclib.const import Status
from grpclib.exceptions import GRPCError

import directpv_common.protocol.messages as m
from directpv_cli.commands.listing import all_drives, all_nodes
from directpv_cli.local.csi_client import CALL_SECONDS
from directpv_cli.local.stack import NodeStack, Stack
from directpv_cli.reaching.session import run
from directpv_cli.reading.settings import settings
from directpv_cli.showing.ages import age_of
from directpv_common.bus.bus import Bus
from directpv_common.calls.scopes import timeout
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import NotFound

T = TypeVar("T")
START: Final = "`directpv up` starts again what has ended of a stack, and volumes stay; then repeat"


class VolumeError(Exception):
    """It could not be done; the text says why."""


class NoRoom(VolumeError):
    """No drive can hold the volume."""


def asked(stack: Stack, work: Callable[[Bus], Awaitable[T]]) -> T:
    """Return what ``work`` returns, which is given the stack's bus.

    Raises:
        VolumeError: The bus has ended, or all controllers have: nobody would answer.
    """
    controllers = [name for name in stack.services() if name.startswith("controller-")]
    ended = [name for name in ("nats", *controllers) if not stack.runs(name)]
    if "nats" in ended or len(ended) == len(controllers):
        raise VolumeError(f"{', '.join(ended)} ended; {START}")
    settings.nats_url = stack.nats_url
    return run(work)


async def answer(call: Awaitable[T]) -> T:
    """Return what a CSI call answers.

    Raises:
        VolumeError: It was refused, or nobody answers.
        NoRoom: It was refused for want of room.
    """
    try:
        async with timeout(CALL_SECONDS):
            return await call
    except GRPCError as error:
        kind = NoRoom if error.status is Status.RESOURCE_EXHAUSTED else VolumeError
        raise kind(f"{error.message}") from error
    except (TimeoutError, OSError):
        raise VolumeError(
            "the CSI gateway does not answer; directpv status shows what runs, directpv up starts what has ended"
        ) from None


def node_of(stack: Stack, name: str) -> NodeStack:
    """Return a node of the stack.

    Raises:
        VolumeError: It has none of this name.
    """
    for node in stack.nodes:
        if node.name == name:
            return node
    raise VolumeError(f"this stack has no node {name}; it has {', '.join(node.name for node in stack.nodes)}")


class Seen(NamedTuple):
    """A volume, and what decides about mounting it."""

    info: m.VolumeInfo
    away: str = ""
    """Why its node cannot be asked; empty: it can."""
    suspended: str = ""
    """What is suspended and how it is resumed; empty: nothing is."""


def volume_of(stack: Stack, name: str) -> Seen:
    """Return a volume as the controller knows it.

    Raises:
        VolumeError: There is none, or its name is none.
    """
    seen = known_volume(stack, name)
    if seen is None:
        raise VolumeError(f"volume {name} does not exist; directpv volume list shows those that do")
    return seen


def known_volume(stack: Stack, name: str) -> Seen | None:
    """Return a volume as the controller knows it; None if it knows of none.

    Raises:
        VolumeError: Its name is none.
    """
    try:
        request = m.VolumeId(name=name)
    except TypeError as error:
        raise VolumeError(str(error)) from error

    async def look(bus: Bus) -> Seen | None:
        try:
            info = await bus.call(Controller.VOLUME_GET, request)
        except NotFound:
            return None
        drives = await all_drives(bus, m.ListDrives(ids=(info.record.fsuuid,)))
        return Seen(info, away(stack, await all_nodes(bus), info.node), suspension(info, drives))

    return asked(stack, look)


def away(stack: Stack, nodes: list[m.NodeSummary], name: str) -> str:
    """Return why node ``name`` cannot be asked, and what helps; empty if it can."""
    agent = f"nodeagent-{name}"
    if agent in stack.services() and not stack.runs(agent):
        return f"node {name} is offline, its agent ended; {START}"
    node = next((node for node in nodes if node.info.name == name), None)
    if node is not None and node.online:
        return ""
    since = f", last heard {age_of(node.last_seen)} ago" if node and node.last_seen else ""
    return f"node {name} is offline{since}; directpv status shows its processes, {stack.directory}/logs what they say"


def suspension(info: m.VolumeInfo, drives: list[m.DriveInfo]) -> str:
    """Return what of a volume is suspended, itself or its drive, and how it is resumed; empty if nothing is."""
    if names.is_suspended(info.record.labels):
        return f"volume {info.record.name} is suspended; kubectl-directpv resume volumes {info.record.name}"
    for drive in drives:
        record = drive.record
        if record.fsuuid == info.record.fsuuid and names.is_suspended(record.labels):
            return (
                f"its drive {record.node}/{record.device} is suspended; kubectl-directpv resume drives {record.fsuuid}"
            )
    return ""
