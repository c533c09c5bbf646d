"""A drive whose file system has no block left: served, restarted, changed and emptied all the same."""

import itertools
import json
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from directpv_nodeagent.layout.core.layout import ballast_size
from integration.nodeagent.drives.taken.test_drives import Foreign
from integration.nodeagent.faults import is_ready
from integration.nodeagent.harness import AgentProcess, Loops, unmount
from support.node_client import MIB, Client, eventually


def fill(directory: Path) -> None:
    """Write until nothing can be written any more, not even a file of one byte."""
    with (directory / "filler").open("ab", buffering=0) as file:
        for size in (MIB, 4096, 4096):
            _until_full(partial(file.write, b"x" * size))
            os.fsync(file.fileno())
    numbers = itertools.count()
    _until_full(lambda: (directory / f"small-{next(numbers)}").write_bytes(b"x"))


def _until_full(write: Callable[[], object]) -> None:
    def go_on() -> None:
        while True:
            write()

    with pytest.raises(OSError, match="No space left"):
        go_on()


def ballast(root: Path) -> int:
    return (root / ".directpv/.ballast").stat().st_blocks * 512


def whole_ballast(root: Path) -> int:
    state = os.statvfs(root)
    return ballast_size(state.f_blocks * state.f_frsize)


async def restart(agent: AgentProcess, device: str, client: Client) -> None:
    agent.kill(signal.SIGKILL)
    agent.start(device)
    await agent.answers(client)


async def test_a_full_drive_serves_after_a_restart_takes_new_records_and_can_be_emptied(
    agent: AgentProcess, device: str, drive: str, client: Client, pods: Path
) -> None:
    volume = await client.make_volume(drive, "pvc-1", 400)
    await client.stage("pvc-1", pods / "s")
    await client.publish("pvc-1", pods / "s", pods / "t")
    root = agent.root / "mnt" / drive
    assert ballast(root) == whole_ballast(root)
    fill(pods / "t")

    await restart(agent, device, client)

    held = await client.drive_when(drive, is_ready, "a full drive is well")
    assert [found.use.published for found in held.volumes] == [(str(pods / "t"),)]
    await client.publish("pvc-1", pods / "s", pods / "t", pod_name="db-0", pod_namespace="shop")
    for name in ("pvc-1", "pvc-2"):
        labels = {"directpv.min.io/who": name * 8}
        await client.make_volume(drive, name, 400 if name == "pvc-1" else 1, labels=labels)
        kept = json.loads((root / f".directpv/volumes/{name}.json").read_text())
        assert kept["labels"] == labels
    assert kept["name"] == "pvc-2"
    assert volume.name == "pvc-1"

    await client.unpublish("pvc-1", pods / "t")
    await client.unstage("pvc-1", pods / "s")
    await client.remove(drive, "pvc-1")
    await client.drive_when(drive, lambda held: not held.purging, "its data is gone")
    await eventually(lambda: _is_whole(root), "there is room for records again")


async def test_a_drive_without_room_for_records_serves_after_a_restart_and_can_be_emptied(
    agent: AgentProcess, device: str, drive: str, client: Client, pods: Path
) -> None:
    await client.make_volume(drive, "pvc-1", 400)
    await client.stage("pvc-1", pods / "s")
    agent.kill(signal.SIGKILL)
    root = agent.root / "mnt" / drive
    (root / ".directpv/.ballast").unlink()  # as on a drive of an earlier version
    fill(pods / "s")

    agent.start(device)

    await client.drive_when(drive, is_ready, "a full drive is well")
    await client.publish("pvc-1", pods / "s", pods / "t", pod_name="db-0")
    await client.unpublish("pvc-1", pods / "t")
    await client.unstage("pvc-1", pods / "s")
    agent.kill(signal.SIGKILL)
    unmount(root)  # a reboot
    agent.start(device)
    await client.drive_when(drive, is_ready, "a full drive is mounted")
    await client.remove(drive, "pvc-1")
    await client.drive_when(drive, lambda held: not held.purging and not held.volumes, "its volume is gone")
    await eventually(lambda: _is_whole(root), "there is room for records from now on")


async def _is_whole(root: Path) -> bool:
    return (root / ".directpv/.ballast").exists() and ballast(root) == whole_ballast(root)


@pytest.mark.parametrize("volumes", [True, False])
async def test_a_full_drive_of_upstream_is_adopted_though_its_record_finds_no_place(
    agent: AgentProcess, loops: Loops, client: Client, base: Path, pods: Path, volumes: bool
) -> None:
    device = loops.make()
    foreign = Foreign(device, base)
    with foreign as root:
        foreign.lay_out(root)
        (root / "pvc-old").mkdir()
        if volumes:
            (root / ".directpv/volumes").mkdir()
        fill(root / "pvc-old")

    agent.start(device)

    held = await client.drive_when(foreign.fsuuid, is_ready, "adopted")
    assert held.record.node == "n1"
    assert "record is not written" in agent.log_text()
    (agent.root / "mnt" / foreign.fsuuid / "pvc-old/filler").unlink()
    await restart(agent, device, client)
    await client.drive_when(foreign.fsuuid, is_ready, "adopted")
    assert (agent.root / "mnt" / foreign.fsuuid / ".directpv/drive.json").exists()
    await client.stage("pvc-old", pods / "s", capacity=20 * MIB)
