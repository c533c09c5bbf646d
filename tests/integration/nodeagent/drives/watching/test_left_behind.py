"""Containers that keep the failed file system of a drive that is back under another number."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from directpv_common.protocol.api import Node
from directpv_common.protocol.messages import GetVolumeHealth, StatVolume
from integration.nodeagent.faults import is_ready, shut_down
from integration.nodeagent.harness import AgentProcess, Loops, run, unmount_below, wait_until
from integration.nodeagent.orders import path_of
from integration.nodeagent.repairing import told
from support.node_client import Client, eventually


@pytest.fixture
def container() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes with mounts of their own, as containers have them."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait(20)


def begin(container: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Start a container, which has all that is mounted now."""
    process = subprocess.Popen(("unshare", "--mount", "sleep", "600"))
    container.append(process)
    wait_until(
        lambda: (
            Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n"
            and os.readlink(f"/proc/{process.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
        ),
        "the container runs",
    )
    return process


async def ailments(client: Client, volume: str) -> list[str]:
    health = await client.ask(Node.VOLUME_HEALTH, GetVolumeHealth(name=volume))
    return [each.reason for each in health.ailments]


async def test_a_container_that_keeps_what_failed_of_a_volume_is_told_of_until_it_ends(
    agent: AgentProcess,
    loops: Loops,
    device: str,
    drive: str,
    client: Client,
    pods: Path,
    container: list[subprocess.Popen[bytes]],
) -> None:
    for name in ("pvc-0", "pvc-1"):
        await client.make_volume(drive, name)
    await client.stage("pvc-0", pods / "s")
    await client.publish("pvc-0", pods / "s", pods / "t")
    (pods / "t/file").write_text("kept")
    run("sync", "-f", str(pods / "t"))
    process = begin(container)
    agent.kill()
    shut_down(path_of(agent, drive), flush_log=True)
    unmount_below(pods)
    unmount_below(agent.root)
    events = await told(client.bus)

    agent.start(loops.attach(loops.attached[device]))  # the same disk, and another number

    await client.drive_when(drive, is_ready, "it is back")

    async def known() -> bool:
        return await ailments(client, "pvc-0") == ["VolumeLeftBehind"]

    await eventually(known, "the container is told of")
    assert await ailments(client, "pvc-1") == []

    async def heard() -> list[dict[str, Any]]:
        return [event.data for event in events if event.type.endswith("volume.left-behind")]

    (data,) = await eventually(heard, "the event comes")
    assert f"{process.pid} (sleep)" in data["cause"]
    assert "restart the pod" in data["advice"]
    await client.stage("pvc-0", pods / "s")
    assert (pods / "s/file").read_text() == "kept"
    stats = await client.ask(Node.VOLUME_STATS, StatVolume(name="pvc-0", volume_path=str(pods / "s")))
    assert stats.abnormal
    assert "restart the pod" in stats.condition
    begin(container)  # has what is mounted now, and the drive that is well

    process.kill()
    process.wait(20)

    async def well() -> bool:
        return await ailments(client, "pvc-0") == []

    await eventually(well, "it is well when the container has ended")
