"""Devices that grow, and shrink, under a running agent or while it is away: real XFS on loop devices."""

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

from directpv_common.bus.bus import Bus
from directpv_common.bus.cloud_event import CloudEvent
from directpv_common.protocol.messages import DriveStatus, VolumeRecord
from directpv_common.protocol.wire import decode
from integration.nodeagent.harness import AgentProcess, Loops, mounts_below, run, unmount, wait_until
from integration.nodeagent.serving.test_telling import get, metric
from support.node_client import MIB, Client, eventually


def resize(loops: Loops, device: str, mib: int) -> None:
    os.truncate(loops.attached[device], mib * MIB)
    run("losetup", "--set-capacity", f"/dev/{device}")


def reattach(loops: Loops, device: str, mib: int) -> None:
    """Let the device show only so much of its file, which stays whole."""
    path = loops.attached[device]
    run("losetup", "--detach", f"/dev/{device}")
    attach = ("losetup", "--sizelimit", str(mib * MIB), f"/dev/{device}", str(path))
    wait_until(lambda: not subprocess.run(attach, check=False, capture_output=True).returncode, "attached again")


async def told(bus: Bus) -> list[CloudEvent]:
    """Events from now on; the list grows."""
    found: list[CloudEvent] = []
    await bus.subscribe(bus.subjects.all_events, lambda message: found.append(decode(message.data, CloudEvent)))
    await bus.client.flush()
    return found


def of_kind(events: list[CloudEvent], kind: str) -> list[dict[str, Any]]:
    return [event.data for event in events if event.type.endswith(f".drive.{kind}")]


def has_total(mib: int) -> Any:
    return lambda held: held.record.total == mib * MIB and held.readable and held.record.status is DriveStatus.READY


def really_free(root: Path) -> int:
    state = os.statvfs(root)
    return state.f_bfree * state.f_frsize


async def test_a_device_that_grows_is_used_at_once_and_all_that_is_promised_exists(
    agent: AgentProcess, loops: Loops, drive: str, client: Client, pods: Path
) -> None:
    (device,) = loops.attached
    before = await client.held(drive)
    events = await told(client.bus)
    await client.make_volume(drive, "pvc-1")
    await client.stage("pvc-1", pods / "s")
    (pods / "s/file").write_bytes(b"before")

    resize(loops, device, 1500)

    after = await client.drive_when(drive, has_total(1500), "the drive has grown")
    root = agent.root / "mnt" / drive
    overhead, was = after.record.overhead, before.record.overhead
    assert was < overhead < was + 900 * MIB // 20
    assert after.generation > before.generation
    assert after.record.total - overhead <= really_free(root) + 64 * 1024
    assert (pods / "s/file").read_bytes() == b"before"
    more = before.record.total - was
    assert await client.prepare(VolumeRecord(name="pvc-2", fsuuid=drive, capacity=more)) == {}
    await eventually(lambda: _nonempty(of_kind(events, "expanded")), "told")
    expanded = of_kind(events, "expanded")
    assert [(data["was"], data["total"]) for data in expanded] == [(before.record.total, 1500 * MIB)]


async def test_a_drive_that_grew_while_the_agent_was_away_is_grown_when_it_is_back(
    agent: AgentProcess, loops: Loops, drive: str, client: Client
) -> None:
    (device,) = loops.attached
    agent.kill()
    unmount(agent.root / "mnt" / drive)
    resize(loops, device, 1000)
    events = await told(client.bus)

    agent.start(device)

    await client.drive_when(drive, has_total(1000), "the drive has grown")
    await eventually(lambda: _nonempty(of_kind(events, "expanded")), "told")


async def test_an_agent_killed_between_growing_and_recording_ends_the_work_after_its_restart(
    agent: AgentProcess, loops: Loops, drive: str, client: Client
) -> None:
    (device,) = loops.attached
    overhead = (await client.held(drive)).record.overhead
    agent.kill()
    resize(loops, device, 1000)
    run("xfs_growfs", str(agent.root / "mnt" / drive))
    events = await told(client.bus)

    agent.start(device)

    held = await client.drive_when(drive, has_total(1000), "the size is taken in")
    assert held.record.overhead > overhead
    await eventually(lambda: _nonempty(of_kind(events, "expanded")), "told")


async def test_the_size_is_on_the_drive_itself_and_a_restart_changes_nothing(
    agent: AgentProcess, loops: Loops, drive: str, client: Client
) -> None:
    (device,) = loops.attached
    resize(loops, device, 1000)
    grown = await client.drive_when(drive, has_total(1000), "the drive has grown")
    agent.kill()
    events = await told(client.bus)

    agent.start(device)

    again = await client.drive_when(drive, has_total(1000), "found again")
    assert (again.record.total, again.record.overhead) == (grown.record.total, grown.record.overhead)
    assert of_kind(events, "expanded") == []


async def test_a_little_more_is_left_alone(agent: AgentProcess, loops: Loops, drive: str, client: Client) -> None:
    (device,) = loops.attached
    before = await client.held(drive)
    resize(loops, device, 610)
    await _scans(agent, 3)

    assert (await client.held(drive)).record == before.record
    resize(loops, device, 640)
    await client.drive_when(drive, has_total(640), "more is used")


async def test_a_growth_that_fails_leaves_the_drive_ready_is_told_once_and_tried_again_when_the_size_changes(
    agent: AgentProcess, loops: Loops, base: Path, client: Client
) -> None:
    crowded = base / "crowded"
    crowded.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(crowded))
    disk = crowded / "disk.img"
    disk.touch()
    os.truncate(disk, 600 * MIB)
    device = loops.attach(disk)
    agent.start(device)
    drive = await client.make_drive(device)
    before = await client.held(drive)
    events = await told(client.bus)
    subprocess.run(("dd", "if=/dev/zero", f"of={crowded}/filler", "bs=64k"), check=False, capture_output=True)

    resize(loops, device, 2000)

    await eventually(lambda: _nonempty(of_kind(events, "expand-failed")), "told of the failure")
    await _scans(agent, 4)
    held = await client.held(drive)
    assert held.record == before.record
    (failure,) = of_kind(events, "expand-failed")
    assert (failure["size"], failure["total"]) == (2000 * MIB, before.record.total)
    assert failure["cause"]
    assert agent.log_text().count("did not grow with its device") == 1
    (crowded / "filler").unlink()
    resize(loops, device, 2048)
    await client.drive_when(drive, has_total(2048), "grown at last")


async def test_a_device_that_shrinks_under_its_file_system_is_an_error_that_names_both_sizes_until_it_is_large_again(
    agent: AgentProcess, loops: Loops, drive: str, client: Client, pods: Path
) -> None:
    (device,) = loops.attached
    await client.make_volume(drive, "pvc-1")
    await client.stage("pvc-1", pods / "s")

    resize(loops, device, 400)

    held = await client.drive_when(drive, lambda d: d.record.status is DriveStatus.ERROR, "noticed")
    (condition,) = held.record.conditions
    assert condition.type == "MountError"
    assert "400 MiB" in condition.message
    assert "600 MiB" in condition.message
    await _scans(agent, 3)
    assert (await client.held(drive)).record.conditions == held.record.conditions
    assert mounts_below(pods) == [str(pods / "s")]

    resize(loops, device, 600)
    await client.drive_when(drive, has_total(600), "well again")


async def test_a_device_that_shrank_while_nobody_looked_is_not_mounted(
    agent: AgentProcess, loops: Loops, drive: str, client: Client
) -> None:
    (device,) = loops.attached
    agent.kill()
    unmount(agent.root / "mnt" / drive)
    reattach(loops, device, 400)

    agent.start(device)

    await eventually(lambda: _nonempty([line for line in agent.log_text().splitlines() if "400 MiB" in line]), "logged")
    assert mounts_below(agent.root / "mnt") == []
    reattach(loops, device, 600)
    await client.drive_when(drive, has_total(600), "well again")


async def _nonempty(found: list[Any]) -> bool:
    return bool(found)


async def _scans(agent: AgentProcess, count: int) -> None:
    """Wait until the agent has scanned so many times more."""

    async def rescans() -> float:
        _, text = await asyncio.to_thread(get, agent.metrics_port, "/metrics")
        return metric(text, "directpv_node_rescans_total") or 0

    goal = await rescans() + count

    async def reached() -> bool:
        return await rescans() >= goal

    await eventually(reached, "scans")
