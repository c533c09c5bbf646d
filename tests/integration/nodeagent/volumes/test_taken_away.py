"""Mounts of volumes that others take away on the node, and volumes whose drive has died."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import IS_MOUNTED, MOUNTED, NOT_MOUNTED, Unavailable
from directpv_common.protocol.messages import RemoveVolume
from integration.nodeagent.harness import AgentProcess, Loops, mounts_below, run
from support.node_client import FENCE, WAIT, Client, eventually


@pytest.fixture
async def volume(drive: str, client: Client, pods: Path) -> str:
    await client.make_volume(drive, "pvc-1")
    await client.stage("pvc-1", pods / "s")
    return "pvc-1"


async def test_a_target_that_others_unmounted_is_mounted_again_as_it_was_and_told(
    agent: AgentProcess, volume: str, client: Client, pods: Path
) -> None:
    heard: list[str] = []
    await client.bus.subscribe(client.bus.subjects.all_events, lambda message: heard.append(message.subject))
    await client.publish(volume, pods / "s", pods / "t", mount_flags=("noexec",), read_only=True)
    agent.freeze()
    for path in (pods / "t", pods / "s"):
        run("umount", str(path))
        (path / "leaked").write_text("on the host's disk")
    agent.go_on()

    async def again() -> bool:
        return str(pods / "t") in mounts_below(pods)

    await eventually(again, "it is mounted again")
    options = run("findmnt", "--noheadings", "--output", "VFS-OPTIONS", str(pods / "t")).split(",")
    assert {"ro", "noexec"} <= set(options)

    async def told() -> bool:
        return sum(subject.endswith("volume.unmounted") for subject in heard) == 2

    await eventually(told, "it is told of both")
    assert mounts_below(pods) == [str(pods / "t")]
    await client.unpublish(volume, pods / "t")
    await client.unstage(volume, pods / "s")
    assert mounts_below(pods) == []


async def test_a_process_with_its_directory_in_a_place_that_is_mounted_anew_goes_on_with_what_it_had(
    agent: AgentProcess, volume: str, client: Client, pods: Path
) -> None:
    await client.publish(volume, pods / "s", pods / "t")
    with subprocess.Popen(("sh", "-s"), cwd=pods / "t", stdin=subprocess.PIPE, text=True) as shell:
        assert shell.stdin is not None
        agent.freeze()
        run("umount", "-l", str(pods / "t"))
        agent.go_on()

        async def again() -> bool:
            return str(pods / "t") in mounts_below(pods)

        await eventually(again, "it is mounted again")
        shell.stdin.write("echo 'of the process' > file\n")
        shell.stdin.close()
        assert shell.wait(WAIT) == 0

    assert (pods / "t/file").read_text() == "of the process\n"
    await client.unpublish(volume, pods / "t")
    assert not (pods / "t").exists()  # nothing was written below it


async def test_what_kubelet_has_unmounted_is_not_put_back(
    agent: AgentProcess, drive: str, volume: str, client: Client, pods: Path
) -> None:
    await client.make_volume(drive, "pvc-2")
    await client.stage("pvc-2", pods / "s2")
    await client.publish("pvc-2", pods / "s2", pods / "t2")
    await client.publish(volume, pods / "s", pods / "t")
    await client.unpublish(volume, pods / "t")
    (pods / "t").mkdir()  # as a place that others use by now
    await client.unstage(volume, pods / "s")
    run("umount", str(pods / "t2"))

    async def put_back() -> bool:
        return str(pods / "t2") in mounts_below(pods)

    await eventually(put_back, "what others unmounted is mounted again")
    assert sorted(mounts_below(pods)) == [str(pods / "s2"), str(pods / "t2")]


async def test_a_staging_mount_that_is_gone_keeps_nobody_from_publishing(
    agent: AgentProcess, volume: str, client: Client, pods: Path
) -> None:
    await client.publish(volume, pods / "s", pods / "t")
    (pods / "t/file").write_text("x")
    agent.freeze()
    run("umount", str(pods / "s"))
    calls = [asyncio.create_task(client.publish(volume, pods / "s", pods / name)) for name in ("t", "t2")]
    agent.go_on()
    await asyncio.gather(*calls)

    assert (pods / "t2/file").read_text() == "x"
    assert sorted(mounts_below(pods)) == [str(pods / name) for name in ("s", "t", "t2")]


async def test_a_volume_whose_drive_is_gone_is_said_to_be_mounted_or_not_by_its_node(
    agent: AgentProcess, loops: Loops, device: str, drive: str, volume: str, client: Client, pods: Path
) -> None:
    agent.kill()
    run("umount", str(agent.root / "mnt" / drive))
    spare = loops.make()

    for mounted in (IS_MOUNTED, NOT_MOUNTED):
        agent.start(spare)  # as after a boot without that disk
        await agent.answers(client)
        order = RemoveVolume(name=volume, fsuuid=drive, fence=FENCE)
        with pytest.raises(Unavailable) as caught:  # as the leader asks: once
            await client.bus.call(Node.VOLUME_REMOVE, order, node=client.node, within=WAIT, attempt=WAIT, patient=False)
        assert caught.value.details == {MOUNTED: mounted}
        agent.kill()
        if mounted == IS_MOUNTED:
            run("umount", str(pods / "s"))
