"""A suspended drive on its node, with no controller anywhere: empty directories for its volumes, then data again."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from directpv_common.protocol.api import Node
from directpv_common.protocol.messages import UpdateDrive
from directpv_common.protocol.names import SUSPEND
from integration.nodeagent.harness import AgentProcess, Loops, mounts_below
from support.node_client import FENCE, Client


async def suspend(client: Client, fsuuid: str, suspended: bool = True) -> None:
    """Order it as the leader does."""
    record = (await client.held(fsuuid)).record
    labels = {SUSPEND: "true"} if suspended else {}
    await client.ask(Node.DRIVE_UPDATE, UpdateDrive(record=replace(record, labels=labels), fence=FENCE))


async def mount(client: Client, name: str, home: Path) -> Path:
    """Stage and publish as kubelet does; return the pod's path."""
    await client.stage(name, home / f"{name}-staging")
    await client.publish(name, home / f"{name}-staging", home / name)
    return home / name


async def unmount(client: Client, name: str, home: Path) -> None:
    await client.unpublish(name, home / name)
    await client.unstage(name, home / f"{name}-staging")


def is_empty_and_read_only(path: Path) -> bool:
    with pytest.raises(OSError, match="Read-only"):
        (path / "new").touch()
    return os.listdir(path) == []


async def test_all_volumes_of_a_suspended_drive_are_empty_for_the_next_pod_and_no_others(
    agent: AgentProcess, loops: Loops, client: Client, pods: Path
) -> None:
    devices = [loops.make(), loops.make()]
    agent.start(*devices)
    bad, good = [await client.make_drive(device) for device in devices]
    for drive, names in ((bad, ("pvc-1", "pvc-2")), (good, ("pvc-3",))):
        for name in names:
            await client.make_volume(drive, name)
            ((await mount(client, name, pods)) / "file").write_text("data")

    await suspend(client, bad)
    for name in ("pvc-1", "pvc-3"):
        await unmount(client, name, pods)
        await mount(client, name, pods)

    assert is_empty_and_read_only(pods / "pvc-1")
    assert (pods / "pvc-2/file").read_text() == "data"  # its pod runs on
    assert (pods / "pvc-3/file").read_text() == "data"


async def test_a_drive_says_itself_that_it_is_suspended_to_an_agent_that_was_killed(
    agent: AgentProcess, device: str, drive: str, client: Client, pods: Path
) -> None:
    await client.make_volume(drive, "pvc-1")
    ((await mount(client, "pvc-1", pods)) / "file").write_text("data")
    await suspend(client, drive)
    agent.kill()
    agent.start(device)
    await agent.answers(client)

    await unmount(client, "pvc-1", pods)
    assert is_empty_and_read_only(await mount(client, "pvc-1", pods))

    await suspend(client, drive, suspended=False)
    await mount(client, "pvc-1", pods)
    assert os.listdir(pods / "pvc-1") == []  # until the pod is restarted
    await unmount(client, "pvc-1", pods)
    assert ((await mount(client, "pvc-1", pods)) / "file").read_text() == "data"


async def test_a_volume_that_was_staged_before_its_drive_was_suspended_is_empty_for_its_next_pod(
    drive: str, client: Client, pods: Path
) -> None:
    await client.make_volume(drive, "pvc-1")
    await client.stage("pvc-1", pods / "s")
    await suspend(client, drive)

    await client.publish("pvc-1", pods / "s", pods / "late")
    assert is_empty_and_read_only(pods / "late")

    await client.unpublish("pvc-1", pods / "late")
    await client.unstage("pvc-1", pods / "s")
    assert mounts_below(pods) == []


async def test_a_volume_that_was_staged_while_suspended_is_served_to_a_pod_that_kubelet_stages_nothing_for(
    drive: str, client: Client, pods: Path
) -> None:
    await client.make_volume(drive, "pvc-1")
    ((await mount(client, "pvc-1", pods)) / "file").write_text("data")
    await unmount(client, "pvc-1", pods)
    await suspend(client, drive)
    await mount(client, "pvc-1", pods)
    await suspend(client, drive, suspended=False)

    await client.publish("pvc-1", pods / "pvc-1-staging", pods / "next")  # its predecessor is still there
    assert (pods / "next/file").read_text() == "data"
    assert os.listdir(pods / "pvc-1") == []

    await client.unpublish("pvc-1", pods / "next")
    await unmount(client, "pvc-1", pods)
    assert mounts_below(pods) == []
