"""How each drive is, as registry, agent and kernel have it: told with what is wrong, so that a log alone shows why."""

import asyncio
import re
import time
from collections.abc import Awaitable, Iterable, Mapping
from typing import Final, TypeVar

from chaos.host import BROKEN, Host
from chaos.model import Fault, History, Told
from chaos.world import World
from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.messages import Condition, DriveInfo, GetInventory
from support.cluster import everything

T = TypeVar("T")
ASK_SECONDS: Final = 10.0
"""Whoever does not answer for so long is silent."""
_MOUNT: Final = re.compile(r"^\S+ \S+ \S+ \S+ (\S+) .* - (\S+) (\S+) ", re.MULTILINE)


async def scene(world: World, history: History, began: float) -> str:
    """Ask everybody about every drive; what it suffered is in seconds since ``began``. Silence raises nothing."""
    registry, *hosts = await asyncio.gather(
        _answer(_registered(world)), *(_scene_of(world, history, host) for host in world.hosts)
    )
    lines = []
    for host, (held, table) in zip(world.hosts, hosts, strict=True):
        for disk, drive in zip(host.disks, host.drives, strict=True):
            lines += [
                f"{host.name}/{disk.index} {drive} as {disk.name}: {suffered(history.faults(drive), began)}",
                f"    registry: {registry if isinstance(registry, str) else in_registry(registry.get(drive))}",
                f"    agent: {of_agent(held.get(drive), time.monotonic())}",
                f"    mounts: {mounts(table, drive, disk.name)}",
            ]
    return "\n".join(lines)


async def _scene_of(world: World, history: History, host: Host) -> tuple[Mapping[str, Told], str]:
    held, table = await asyncio.gather(
        _answer(_inventory(world, host)), _answer(host.machine.hand.read("/proc/self/mountinfo"))
    )
    return (history.told if isinstance(held, str) else held), (table if isinstance(table, str) else table.decode())


async def _answer(question: Awaitable[T]) -> T | str:
    """Return the answer, or why there is none."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            return await question
    except (DirectPVError, *BROKEN) as error:
        return f"no answer: {error!r}"[:300]


async def _registered(world: World) -> dict[str, DriveInfo]:
    drives, _ = await everything(world.bus)
    return {drive.record.fsuuid: drive for drive in drives}


async def _inventory(world: World, host: Host) -> dict[str, Told]:
    asked = time.monotonic()
    reply = await world.bus.call(Node.INVENTORY_GET, GetInventory(), node=host.name, within=ASK_SECONDS)
    return {held.record.fsuuid: Told(asked, held) for held in reply.drives}


# ---- in words -------------------------------------------------------------------------------------------------------


def suffered(faults: Iterable[Fault], began: float) -> str:
    """Return what happened to a drive when."""
    ends = ((fault, f"{fault.until - began:.1f} s" if fault.until < float("inf") else "now") for fault in faults)
    return ", ".join(f"{fault.kind} {fault.since - began:.1f} to {end}" for fault, end in ends) or "nothing happened"


def in_registry(info: DriveInfo | None) -> str:
    """Return what the registry has of a drive."""
    if info is None:
        return "unknown"
    record = info.record
    where = f"{record.device or 'no device'} of {record.node}" + ", offline" * (not info.online)
    return f"{record.status} on {where}; volumes: {info.volumes}; {_conditions(record.conditions)}"


def of_agent(told: Told | None, now: float) -> str:
    """Return what an agent says of a drive, or said last."""
    if told is None:
        return "never told"
    record, held = told.held.record, told.held
    names = ", ".join(volume.record.name for volume in held.volumes) or "none"
    read = "" if held.readable else "not readable, "
    return (
        f"{now - told.asked:.1f} s ago: {record.status} on {record.device or 'no device'}, {read}"
        f"generation {held.generation}; volumes: {names}; {_conditions(record.conditions)}"
    )


def _conditions(conditions: Iterable[Condition]) -> str:
    return "; ".join(f"{each.type} since {each.since}: {each.message}" for each in conditions) or "no condition"


def mounts(table: str, drive: str, device: str) -> str:
    """Return what of a mount table concerns a drive, or the whole table if it is none: then it says why."""
    found = _MOUNT.findall(table)
    mine = [f"{path} ({kind} of {of})" for path, kind, of in found if drive in path + of or of == f"/dev/{device}"]
    return ", ".join(mine) or ("none" if found else table)
