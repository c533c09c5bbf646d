"""Asks for repairs, and damages drives so that they need one."""

import os
import uuid
from typing import Any

from directpv_common.bus.bus import Bus
from directpv_common.bus.cloud_event import CloudEvent
from directpv_common.protocol.api import Node
from directpv_common.protocol.messages import (
    DriveId,
    DriveStatus,
    OrderRepair,
    RepairStatus,
)
from directpv_common.protocol.wire import decode
from integration.nodeagent.harness import AgentProcess, Loops, run, unmount
from support.node_client import FENCE, Client, eventually

BLOCK, SECTOR = 4096, 512


def request(fsuuid: str, **flags: Any) -> OrderRepair:
    return OrderRepair(**{"fsuuid": fsuuid, "id": uuid.uuid4().hex, "fence": FENCE} | flags)


async def begin(client: Client, fsuuid: str, **flags: Any) -> RepairStatus:
    return await client.ask(Node.DRIVE_REPAIR, request(fsuuid, **flags))  # type: ignore[no-any-return]


async def status_of(client: Client, fsuuid: str) -> RepairStatus:
    return await client.ask(Node.DRIVE_REPAIR_STATUS, DriveId(fsuuid=fsuuid))  # type: ignore[no-any-return]


async def ended(client: Client, fsuuid: str) -> RepairStatus:
    async def check() -> RepairStatus | None:
        status = await status_of(client, fsuuid)
        return None if status.outcome == "Running" else status

    return await eventually(check, "the repair has ended")  # type: ignore[no-any-return]


async def repaired(client: Client, fsuuid: str, **flags: Any) -> RepairStatus:
    assert (await begin(client, fsuuid, **flags)).outcome == "Running"
    return await ended(client, fsuuid)


async def told(bus: Bus) -> list[CloudEvent]:
    found: list[CloudEvent] = []
    await bus.subscribe(bus.subjects.all_events, lambda message: found.append(decode(message.data, CloudEvent)))
    await bus.client.flush()
    return found


def kinds(events: list[CloudEvent]) -> list[str]:
    return [event.type.rpartition(".drive.")[2] for event in events if ".drive." in event.type]


def write(device: str, offset: int, data: bytes) -> None:
    descriptor = os.open(f"/dev/{device}", os.O_WRONLY)
    try:
        os.pwrite(descriptor, data, offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(device: str, offset: int) -> bytes:
    with open(f"/dev/{device}", "rb") as disk:
        return os.pread(disk.fileno(), 512, offset)


def geometry(device: str) -> dict[str, int]:
    said = run("xfs_db", "-r", "-c", "sb 0", "-c", "print agblocks rootino agblklog inopblog", f"/dev/{device}")
    return {key: int(value) for key, value in (line.split(" = ") for line in said.splitlines())}


def damage_root(device: str) -> None:
    """Overwrite the root directory's inode: the file system mounts no more."""
    found = geometry(device)
    write(device, found["rootino"] * BLOCK // (1 << found["inopblog"]), b"\xa5" * 512)


def damage_unseen(device: str) -> None:
    """Overwrite the free space header of the last AG, which a mount reads and refuses too."""
    write(device, 3 * geometry(device)["agblocks"] * BLOCK + SECTOR, b"\xa5" * SECTOR)


def unmounted(agent: AgentProcess, fsuuid: str) -> None:
    unmount(agent.root / "mnt" / fsuuid)


async def has_status(client: Client, fsuuid: str, status: DriveStatus) -> None:
    await client.drive_when(fsuuid, lambda held: held.record.status is status, f"drive is {status}")


async def break_drive(agent: AgentProcess, loops: Loops, client: Client, fsuuid: str) -> str:
    """Damage the drive so that it cannot be mounted any more, while the agent is stopped in its tracks."""
    (device,) = loops.attached
    agent.freeze()
    unmounted(agent, fsuuid)
    damage_root(device)
    agent.go_on()
    await has_status(client, fsuuid, DriveStatus.ERROR)
    return device


async def equal(found: list[str], wanted: list[str]) -> bool:
    return found == wanted
