"""``move`` and ``evacuate``, as a person types them."""

import asyncio
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from directpv_cli.local.csi_client import CsiClient, creation
from directpv_cli.showing.terminal.typed import typeable
from directpv_common.protocol import names
from directpv_common.protocol.units import MIB
from stack.running import SECONDS, plugin
from support.cluster import Cluster, Pod, eventually

pytestmark = pytest.mark.timeout(240)
Ended = subprocess.CompletedProcess[str]
NOTICED_SECONDS = 10.0
"""Within which the plugin has seen that a move has ended."""


@pytest.fixture
async def client(running: Cluster) -> AsyncIterator[CsiClient]:
    async with running.csi() as connected:
        yield connected


async def new_pod(running: Cluster, client: CsiClient, name: str, user: str) -> Pod:
    volume = (await client.controller.CreateVolume(creation(name, 32 * MIB))).volume
    volume.volume_context.update({names.CONTEXT_POD_NAME: user, names.CONTEXT_POD_NAMESPACE: "shop"})
    pod = Pod(client, volume, running.stack.directory / "pods")
    await eventually(pod.stage, "it is staged")
    await pod.publish()
    Path(pod.target, "file").write_bytes(os.urandom(4 * MIB))
    return pod


async def listed(running: Cluster, noun: str) -> dict[str, dict[str, Any]]:
    shown = await plugin(running, "list", noun, "--all", "-o", "json")
    assert shown.returncode == 0, shown.stderr
    return {item["metadata"]["name"]: item for item in json.loads(shown.stdout)["items"]}


async def drive_of(running: Cluster, name: str) -> str:
    return str((await listed(running, "volumes"))[name]["status"]["fsuuid"])


async def moves(running: Cluster) -> list[dict[str, Any]]:
    shown = await plugin(running, "move", "-o", "json")
    assert shown.returncode == 0, shown.stderr
    return list(json.loads(shown.stdout)["moves"])


async def waits(running: Cluster, name: str) -> None:
    async def check() -> None:
        assert [each["state"] for each in await moves(running) if each["name"] == name] == ["Waiting"]

    await eventually(check, "all but the last pass is done", 120)


async def moved_as_its_pod_restarts(moving: "asyncio.Task[Ended]", pod: Pod) -> Ended:
    """Restart the pod; once more if that fell into another pass, which the move makes now and then while it waits."""
    async with asyncio.timeout(SECONDS):
        while not moving.done():
            await pod.unpublish()
            await pod.unstage()
            await eventually(pod.stage, "it is staged again")
            await pod.publish()
            await asyncio.wait({moving}, timeout=NOTICED_SECONDS)
    return await moving


async def test_a_drive_is_emptied_while_its_pod_runs_and_can_be_removed_then(running, client):
    pod = await new_pod(running, client, "pvc-1", "db-0")
    old = await drive_of(running, "pvc-1")
    (new,) = set(await listed(running, "drives")) - {old}
    dry = await plugin(running, "move", old, new, "--with-data", "--dry-run")
    assert (dry.returncode, "would be moved" in dry.stderr, await moves(running)) == (0, True, [])
    before = Path(pod.target, "file").read_bytes()

    moving = asyncio.create_task(plugin(running, "move", old, new, "--with-data", "--limit", "20M", "-o", "json"))
    await waits(running, "pvc-1")
    refused = await plugin(running, "remove", new)
    assert refused.returncode == 1
    assert "pvc-1 is being moved" in refused.stderr
    ended = await moved_as_its_pod_restarts(moving, pod)

    assert ended.returncode == 0, ended.stderr
    assert "kubectl delete pod -n shop db-0" in ended.stderr
    (result,) = json.loads(ended.stdout)["volumes"]
    assert (result["name"], result["outcome"], result["from"], result["to"]) == ("pvc-1", "Moved", old, new)
    assert Path(pod.target, "file").read_bytes() == before
    assert await drive_of(running, "pvc-1") == new
    late = await plugin(running, "move", "--cancel", "pvc-1", "-o", "json")
    assert (late.returncode, json.loads(late.stdout)["volumes"][0]["outcome"]) == (1, "NotFound")
    said = f"pvc-1: is not being moved: it is on drive {new}, to which it was moved from drive {old}"
    assert said in late.stderr
    again = await plugin(running, "move", old, new, "--with-data")
    assert (again.returncode, "Nothing to do" in again.stderr) == (0, True)
    removed = await plugin(running, "remove", old)
    assert removed.returncode == 0, removed.stderr
    await pod.unpublish()
    await pod.unstage()


async def test_evacuate_cordons_chooses_and_is_cancelled(running, client):
    pod = await new_pod(running, client, "pvc-1", "db-0")
    old = await drive_of(running, "pvc-1")

    begun = await plugin(running, "evacuate", old, "--no-wait")
    assert begun.returncode == 0, begun.stderr
    (new,) = set(await listed(running, "drives")) - {old}
    assert f"Volume pvc-1 is being moved to drive {new}" in begun.stderr
    assert (await listed(running, "drives"))[old]["spec"]["unschedulable"] is True
    await waits(running, "pvc-1")

    async def shown() -> None:  # now and then it makes another pass
        table = (await plugin(running, "move")).stdout
        assert "Waiting" in table
        assert "waits for its pod to be restarted" in " ".join(table.split())

    async def noted() -> None:
        assert "pvc-1 waits for its pod" in (await plugin(running, "status")).stderr

    await eventually(shown, "the table says that it waits")
    await eventually(noted, "status says it, too")
    cancelled = await plugin(running, "move", "--cancel", "pvc-1")

    assert cancelled.returncode == 0, cancelled.stderr
    assert f"Volume pvc-1 stays on drive {old}" in cancelled.stderr
    assert await moves(running) == []
    nothing = await plugin(running, "move", "--cancel", "pvc-1")
    assert nothing.returncode == 0, nothing.stderr
    assert f"Volume pvc-1 is not being moved: it stays on drive {old}\n" in nothing.stderr
    assert "No volume is being moved" in (await plugin(running, "move")).stderr
    await pod.unpublish()
    await pod.unstage()


async def test_a_drive_that_volumes_are_being_moved_to_is_not_evacuated_and_they_are_named(running, client):
    pod = await new_pod(running, client, "pvc-1", "db-0")
    old = await drive_of(running, "pvc-1")
    (new,) = set(await listed(running, "drives")) - {old}
    for volume in ("nope", "pvc-1"):
        refused = await plugin(running, "evacuate", new, "--volume", volume)
        assert (refused.returncode, f"has no volume {volume}" in refused.stderr) == (1, True), refused.stderr
    assert (await plugin(running, "move", old, new, "--with-data", "--no-wait")).returncode == 0
    await waits(running, "pvc-1")

    refused = await plugin(running, "evacuate", new)

    assert refused.returncode == 1
    assert f"1 volume is being moved to drive {new}: pvc-1" in refused.stderr
    assert typeable("kubectl directpv move --cancel pvc-1") in refused.stderr
    assert not (await listed(running, "drives"))[new]["spec"].get("unschedulable")
    assert [each["name"] for each in await moves(running)] == ["pvc-1"]
    assert (await plugin(running, "move", "--cancel", "pvc-1")).returncode == 0
    await pod.unpublish()
    await pod.unstage()


async def test_of_two_drives_that_are_evacuated_at_once_none_is_said_to_be_empty_that_is_not(running, client):
    for name in ("pvc-1", "pvc-2"):
        await client.controller.CreateVolume(creation(name, 32 * MIB))
    both = sorted(await listed(running, "drives"))
    assert sorted([await drive_of(running, name) for name in ("pvc-1", "pvc-2")]) == both

    ended = await asyncio.gather(*(plugin(running, "evacuate", drive, "--timeout", "2m") for drive in both))

    full = {await drive_of(running, name) for name in ("pvc-1", "pvc-2")}
    said = {drive for drive, each in zip(both, ended, strict=True) if each.returncode == 0}
    assert not said & full, [each.stderr for each in ended]


@pytest.mark.parametrize("left", [pytest.param("nothing", marks=pytest.mark.long), "a cancelled move"])
async def test_a_registry_that_was_restored_from_before_a_move_finds_the_volume_where_it_is(running, client, left):
    """As etcd is from a backup: what a pod wrote since must be served, and never an older copy."""
    registry, backup = running.stack.directory / "registry", running.stack.directory / "backup"
    pod = await new_pod(running, client, "pvc-1", "db-0")
    old = await drive_of(running, "pvc-1")
    (new,) = set(await listed(running, "drives")) - {old}
    await pod.unpublish()
    await pod.unstage()
    running.kill("controller-1")
    shutil.copytree(registry, backup)
    running.start("controller-1")
    moved = await plugin(running, "move", old, new, "--with-data")
    assert moved.returncode == 0, moved.stderr
    await eventually(pod.stage, "it is staged")
    await pod.publish()
    if left != "nothing":
        assert (await plugin(running, "move", new, old, "--with-data", "--no-wait")).returncode == 0
        await waits(running, "pvc-1")
        assert (await plugin(running, "move", "--cancel", "pvc-1")).returncode == 0
    Path(pod.target, "later").write_text("written since")
    await pod.unpublish()
    await pod.unstage()

    running.kill("controller-1")
    shutil.rmtree(registry)
    shutil.copytree(backup, registry)
    running.start("controller-1")

    async def found() -> None:
        assert await drive_of(running, "pvc-1") == new

    await eventually(found, "the volume is known to be on its drive")
    await eventually(pod.stage, "it is staged")
    await pod.publish()
    assert Path(pod.target, "later").read_text() == "written since"
    await pod.unpublish()
    await pod.unstage()


async def test_a_registry_that_is_lost_when_all_is_copied_serves_the_volume_and_leaves_no_copy(running, client):
    pod = await new_pod(running, client, "pvc-1", "db-0")
    old = await drive_of(running, "pvc-1")
    (new,) = set(await listed(running, "drives")) - {old}
    node, mnt = running.stack.nodes[0], Path(running.stack.nodes[0].root) / "mnt"
    begun = await plugin(running, "move", old, new, "--with-data", "--no-wait")
    assert begun.returncode == 0, begun.stderr
    await waits(running, "pvc-1")
    running.kill("controller-1")
    await pod.unpublish()
    await pod.unstage()
    for path in (running.stack.directory / "registry").iterdir():
        path.unlink()
    # As an agent leaves the drives that is killed when it has sealed, and nobody has heard of it.
    running.kill(f"nodeagent-{node.name}")
    move = secrets.token_hex(8)
    os.setxattr(mnt / new / ".directpv/incoming/pvc-1", "trusted.directpv.copied", f"{move} ".encode())
    for kind, word in (("sealed", move), ("strays", new)):
        (mnt / old / ".directpv" / kind).mkdir(exist_ok=True)
        (mnt / old / ".directpv" / kind / "pvc-1").symlink_to(word)
    running.start(f"nodeagent-{node.name}")
    running.start("controller-1")

    await eventually(pod.stage, "it is staged")
    assert Path(pod.staging, "file").stat().st_size == 4 * MIB

    async def gone() -> None:
        assert os.listdir(mnt / new / ".directpv/incoming") == []

    await eventually(gone, "the copy goes")
    await pod.unstage()


async def test_what_cannot_be_moved_is_said_per_volume(running, client):
    await client.controller.CreateVolume(creation("pvc-1", 32 * MIB))
    old = await drive_of(running, "pvc-1")
    (new,) = set(await listed(running, "drives")) - {old}
    assert (await plugin(running, "cordon", new)).returncode == 0

    refused = await plugin(running, "move", old, new, "--with-data")

    assert refused.returncode == 1
    advice = typeable(f"kubectl directpv uncordon {new}")
    assert f"pvc-1: drive {new} takes no volumes: it is cordoned; {advice}" in refused.stderr
    evacuated = await plugin(running, "evacuate", old)
    assert evacuated.returncode == 1
    assert "no other drive of node" in evacuated.stderr
    assert "it is cordoned" in evacuated.stderr
    assert "Nothing was changed" in evacuated.stderr
    assert not (await listed(running, "drives"))[old]["spec"].get("unschedulable")
    empty = await plugin(running, "evacuate", new)
    assert (empty.returncode, "there are no volumes to move" in empty.stderr) == (0, True), empty.stderr
