"""What goes wrong on the way, and what is left then: the source as it was, and a move that goes on."""

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import Busy
from directpv_common.protocol.messages import HeldDrive, MoveState, StageVolume
from integration.nodeagent.faults import is_ready, shut_down
from integration.nodeagent.harness import AgentProcess, Loops
from integration.nodeagent.moving.moving import INCARNATION, Leader, snapshot
from support.node_client import MIB, Client, eventually

SLOW = 8 * MIB


def children(pid: int) -> list[int]:
    """All processes below a process, the nearest first."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *children(child)]
    return found


def copying(agent: AgentProcess) -> list[int]:
    """The processes of rsync under the agent."""
    assert agent.process is not None
    names = {pid: Path(f"/proc/{pid}/comm") for pid in children(agent.process.pid)}
    return [pid for pid, comm in names.items() if comm.exists() and comm.read_text().strip() == "rsync"]


async def fill(leader: Leader, mib: int = 32) -> dict[str, object]:
    top = await leader.make()
    (top / "large").write_bytes(os.urandom(mib * MIB))
    (top / "small").write_text("kept")
    os.sync()
    return snapshot(top)


def is_called_full(held: HeldDrive) -> bool:
    return any("beside volumes takes space" in condition.message for condition in held.record.conditions)


async def test_rsync_that_is_killed_costs_a_pass(leader: Leader) -> None:
    before = await fill(leader)
    await leader.until(lambda each: each.done > 0, "it copies", limit=SLOW)

    os.kill(copying(leader.agent)[0], signal.SIGKILL)

    failed = await leader.until(lambda each: each.state is MoveState.FAILED, "it has failed", limit=SLOW)
    assert "signal 9" in failed.message
    await leader.until(lambda each: each.state is MoveState.COPIED, "it goes on by itself")
    assert snapshot(leader.copy) == before


async def test_an_agent_that_is_killed_while_it_copies_leaves_no_rsync_and_goes_on(leader: Leader) -> None:
    before = await fill(leader)
    await leader.until(lambda each: each.done > 0, "it copies", limit=SLOW)
    running = copying(leader.agent)
    assert running

    leader.agent.kill()

    async def gone() -> bool:
        return not any(Path(f"/proc/{pid}/comm").exists() for pid in running)

    await eventually(gone, "rsync has ended")
    assert snapshot(leader.path(leader.old)) == before
    leader.agent.start(*leader.agent.devices)
    await leader.agent.answers(leader.client)
    await leader.copied()
    assert snapshot(leader.copy) == before


async def test_a_copy_that_nobody_has_ordered_yet_after_a_restart_is_not_called_foreign(
    leader: Leader, pods: Path
) -> None:
    """Who would follow the advice to remove what is beside the volumes would remove the copy."""
    await fill(leader, 150)
    await leader.client.stage("pvc-1", pods / "s", incarnation=INCARNATION)
    await leader.waiting()
    leader.agent.kill()
    leader.agent.start(*leader.agent.devices)
    await leader.agent.answers(leader.client)

    beside = leader.path(leader.old).parent / "beside"
    with beside.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 250 * MIB)
    await leader.client.drive_when(leader.old, is_called_full, "that drive is called full, so drives were looked at")
    assert not is_called_full(await leader.client.held(leader.new))
    beside.unlink()
    await leader.client.drive_when(leader.old, lambda held: not is_called_full(held), "all were looked at once more")

    held = await leader.client.held(leader.new)
    assert [copy.name for copy in held.copies] == ["pvc-1"]
    assert not is_called_full(held)


async def test_an_agent_that_is_killed_when_all_is_copied_serves_neither_drive_when_it_is_back(
    leader: Leader, pods: Path
) -> None:
    before = await fill(leader, 1)
    await leader.copied()
    leader.agent.kill()
    leader.agent.start(*leader.agent.devices)
    await leader.agent.answers(leader.client)

    stage = StageVolume(name="pvc-1", staging_path=str(pods / "s"), fsuuid=leader.old, incarnation=INCARNATION)
    with pytest.raises(Busy, match="repeat"):
        await leader.client.bus.call(Node.VOLUME_STAGE, stage, node="n1", within=5, patient=False)
    status = await leader.copied()

    assert status.passes == 0
    await leader.flip()
    await leader.client.ask(Node.VOLUME_STAGE, stage)
    assert snapshot(pods / "s") == before


async def test_a_drive_that_is_too_small_is_said_to_be_so(leader: Leader) -> None:
    before = await fill(leader, 1)
    await leader.client.make_volume(leader.new, "other", mib=400)

    failed = await leader.until(lambda each: each.state is MoveState.FAILED, "it has failed")

    assert leader.new in failed.message
    assert "more are needed for pvc-1" in failed.message
    assert snapshot(leader.path(leader.old)) == before
    assert not leader.copy.exists()


async def test_a_drive_that_is_filled_meanwhile_stops_the_copy_until_there_is_room(leader: Leader) -> None:
    before = await fill(leader)
    filler = leader.agent.root / "mnt" / leader.new / "filler"
    state = os.statvfs(filler.parent)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_frsize - 8 * MIB)

    failed = await leader.until(lambda each: each.state is MoveState.FAILED, "it has failed")

    assert "No space left on device" in failed.message, failed.message
    assert snapshot(leader.path(leader.old)) == before
    filler.unlink()
    await leader.until(lambda each: each.state is MoveState.COPIED, "there is room", retry=True)
    assert snapshot(leader.copy) == before


def physical(file: Path) -> int:
    """Where a file begins on its device, in bytes; it has one extent. Source: linux/fiemap.h."""
    with file.open("rb") as opened:
        buffer = bytearray(struct.pack("=QQIIII", 0, 2**64 - 1, 1, 0, 1, 0) + bytes(56))
        fcntl.ioctl(opened, 0xC020660B, buffer)
    return int(struct.unpack_from("=Q", buffer, 32 + 8)[0])


async def test_a_file_that_cannot_be_read_is_named_and_the_source_stays(leader: Leader, loops: Loops) -> None:
    """The end of the device answers no reads any more: its backing file has become shorter."""
    top = await leader.make()
    files = [top / f"d{number}/file" for number in range(8)]
    for file in files:
        file.parent.mkdir()
        file.write_bytes(os.urandom(2 * MIB))
    os.sync()
    last = max(files, key=physical)
    os.truncate(loops.attached[leader.agent.devices[0]], physical(last) + MIB)
    with last.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    failed = await leader.until(lambda each: each.state is MoveState.FAILED, "it has failed")

    assert str(last.relative_to(top)) in failed.message
    assert "Input/output error" in failed.message
    held = await leader.client.held(leader.old)
    assert [volume.stray_of for volume in held.volumes] == [""]
    assert all(file.exists() for file in files)


async def test_a_source_that_fails_meanwhile_is_gone_on_with_when_it_is_back(leader: Leader) -> None:
    before = await fill(leader)
    await leader.until(lambda each: each.done > 0, "it copies", limit=SLOW)

    shut_down(leader.agent.root / "mnt" / leader.old, flush_log=True)

    await leader.until(lambda each: each.state is MoveState.FAILED, "it has failed", limit=SLOW)
    await leader.client.drive_when(leader.old, is_ready, "the drive is back")
    await leader.until(lambda each: each.state is MoveState.COPIED, "it goes on", retry=True)
    assert snapshot(leader.copy) == before


async def test_nobody_who_is_not_asked_for_lately_keeps_pods_from_their_volume(leader: Leader, pods: Path) -> None:
    """Without a leader the last pass does not begin: nobody could decide what it leads to."""
    await fill(leader, 1)
    await leader.client.stage("pvc-1", pods / "s")
    await leader.waiting()
    await asyncio.sleep(11)  # the time in question is the agent's: it has not been asked for so long
    await leader.client.unstage("pvc-1", pods / "s")

    await leader.client.stage("pvc-1", pods / "s")

    held = await leader.client.held(leader.old)
    assert held.volumes[0].use.staged == str(pods / "s")


@contextlib.asynccontextmanager
async def writing(top: Path) -> AsyncIterator[list[int]]:
    """Append numbers to files of a volume, as a pod does, as long as the block runs."""
    written = [0]

    async def write() -> None:
        while True:
            number = written[0]
            with (top / f"log-{number % 7}").open("a") as file:
                file.write(f"{number}\n")
            (top / "last").write_text(str(number))
            written[0] += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(write())
    try:
        yield written
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_writer_that_never_stops_loses_nothing(leader: Leader, client: Client, pods: Path) -> None:
    await fill(leader, 4)
    await client.stage("pvc-1", pods / "s")
    async with writing(pods / "s") as written:
        await leader.until(lambda each: each.passes > 1, "a second pass")
    before = snapshot(pods / "s")
    assert written[0] > 0
    await client.unstage("pvc-1", pods / "s")
    await leader.copied()
    await leader.flip()
    await client.stage("pvc-1", pods / "s", incarnation=INCARNATION)

    assert snapshot(pods / "s") == before
