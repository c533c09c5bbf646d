"""A node with two drives, and a leader that is played: it orders, and decides what the registry would."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from directpv_common.protocol.api import Node
from directpv_common.protocol.messages import (
    CopyStatus,
    CopyVolume,
    MovePhase,
    MoveState,
    Moving,
    RemoveVolume,
    VolumeRecord,
)
from integration.nodeagent.harness import AgentProcess
from support.node_client import FENCE, Client, eventually

INCARNATION = "ab12"
MIB = 1024 * 1024


class Leader:
    """Moves the volume ``pvc-1`` from the drive ``old`` to the drive ``new``."""

    def __init__(self, client: Client, agent: AgentProcess, old: str, new: str) -> None:
        self.client, self.agent, self.old, self.new = client, agent, old, new
        self.id = secrets.token_hex(8)
        self.record = VolumeRecord(name="pvc-1", fsuuid=old, capacity=200 * 1024 * 1024, incarnation=INCARNATION)

    def path(self, drive: str) -> Path:
        return self.agent.root / "mnt" / drive / "pvc-1"

    @property
    def copy(self) -> Path:
        return self.agent.root / "mnt" / self.new / ".directpv/incoming/pvc-1"

    async def make(self) -> Path:
        """Make the volume; return where its data is."""
        refused = await self.client.prepare(self.record)
        assert refused == {}, refused
        return self.path(self.old)

    async def order(self, **fields: Any) -> CopyStatus:
        order = CopyVolume(record=self.record, target=self.new, id=self.id, fence=FENCE, **fields)
        return await self.client.ask(Node.VOLUME_COPY, order)  # type: ignore[no-any-return]

    async def until(self, condition: Callable[[CopyStatus], bool], what: str, **fields: Any) -> CopyStatus:
        """Order again and again, as the leader does, until the status is as wanted."""

        async def look() -> CopyStatus | None:
            status = await self.order(**fields)
            return status if condition(status) else None

        return await eventually(look, what)  # type: ignore[no-any-return]

    async def copied(self, **fields: Any) -> CopyStatus:
        def ended(status: CopyStatus) -> bool:
            assert status.state is not MoveState.FAILED, status.message
            return status.state is MoveState.COPIED

        return await self.until(ended, "all is copied", **fields)

    async def waiting(self) -> CopyStatus:
        """Wait until the copy is close, and pods have the volume."""
        return await self.until(lambda status: status.state is MoveState.WAITING, "the move waits for the pod")

    async def cancelled(self) -> None:
        await self.until(lambda status: status.state is MoveState.NONE, "the move is undone", cancel=True)

    async def flip(self) -> VolumeRecord:
        """The registry says that the volume is on the other drive, and the node is told."""
        moving = Moving(drive=self.old, id=self.id, phase=MovePhase.FLIPPED)
        moved = replace(self.record, fsuuid=self.new, moving=moving, origins=(self.old,))
        refused = await self.client.prepare(moved)
        assert refused == {}, refused
        return moved

    async def retire(self) -> bool:
        """Order to remove the data that was moved away."""
        order = RemoveVolume(
            name="pvc-1", fsuuid=self.old, incarnation=INCARNATION, move=self.id, moved_to=self.new, fence=FENCE
        )
        return (await self.client.ask(Node.VOLUME_REMOVE, order)).purged  # type: ignore[no-any-return]

    async def retired(self) -> None:
        await eventually(self.retire, "the source is gone")


def snapshot(top: Path) -> dict[str, object]:
    """All that can be seen of a tree, links' inodes by the order of their names."""
    found: dict[str, object] = {}
    inodes: dict[int, int] = {}
    for folder, folders, names in os.walk(top):
        for name in ["", *sorted(folders), *sorted(names)]:
            path = Path(folder, name)
            state = path.lstat()
            plain = {
                "mode": oct(state.st_mode),
                "owner": (state.st_uid, state.st_gid),
                "time": state.st_mtime_ns,
                "xattrs": {
                    key: os.getxattr(path, key, follow_symlinks=False)
                    for key in os.listxattr(path, follow_symlinks=False)
                    if not key.startswith("trusted.directpv.")
                },
            }
            if path.is_symlink():
                plain["to"] = os.readlink(path)
            elif path.is_file():
                plain["data"] = path.read_bytes()
                plain["links"] = (state.st_nlink, inodes.setdefault(state.st_ino, len(inodes)))
            found[str(path.relative_to(top))] = plain
    return found
