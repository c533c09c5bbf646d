"""status, and how drives are called, on a running stack: what is not well, and what people may have forgotten."""

import asyncio
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from directpv_cli.local.csi_client import creation
from directpv_common.protocol.names import DRIVE
from directpv_common.protocol.units import MIB
from stack.running import PLUGIN, drives, plugin
from support.cluster import Cluster, Pod, eventually
from support.pulling import device_of, pull

pytestmark = pytest.mark.timeout(240)


async def test_without_a_controller_nothing_is_said_to_be_none_and_nobody_waits(running: Cluster) -> None:
    running.kill("controller-1")
    patient = asyncio.create_task(plugin(running, "list", "drives"))

    said = await plugin(running, "status")

    assert not patient.done(), "it took as long as who waits for a leader"
    assert said.returncode == 1
    shown = {line.partition(":")[0]: line.partition(":")[2].strip() for line in said.stdout.splitlines()}
    assert [shown[name] for name in ("Leader", "Nodes", "Drives", "Volumes")] == ["nobody leads", *["unknown"] * 3]
    assert "whether they run (kubectl -n directpv get pods,leases" in said.stderr
    facts = json.loads((await plugin(running, "status", "-o", "json")).stdout)
    assert (facts["healthy"], facts["drives"]) == (False, "unknown")
    assert (await patient).returncode == 1


async def test_a_verb_that_waits_for_a_leader_says_so_at_once_and_once(running: Cluster) -> None:
    running.kill("controller-1")
    begun = time.monotonic()
    stack = running.stack
    asks = await asyncio.create_subprocess_exec(
        PLUGIN, "list", "drives", stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        env={**os.environ, "DIRECTPV_NATS_URL": stack.nats_url, "DIRECTPV_STATE_DIR": str(stack.directory)},
    )  # fmt: skip
    assert asks.stderr is not None
    first = await asyncio.wait_for(asks.stderr.readline(), 60)
    assert asks.returncode is None, f"it is at work after {time.monotonic() - begun:.1f} s"
    assert first == b"no controller leads at the moment; waiting for some seconds\n"
    rest = await asyncio.wait_for(asks.stderr.read(), 60)
    assert (await asks.wait(), b"waiting" in rest) == (1, False), rest


async def test_what_is_suspended_is_shown_though_nothing_is_unwell(running: Cluster) -> None:
    async with running.csi() as client:
        volume = (await client.controller.CreateVolume(creation("pvc-1", 16 * MIB))).volume
    home = volume.volume_context[DRIVE]
    other = next(fsuuid for fsuuid in await drives(running) if fsuuid != home)
    assert (await plugin(running, "suspend", "drives", other, "--dangerous")).returncode == 0
    assert (await plugin(running, "suspend", "volumes", "pvc-1", "--dangerous")).returncode == 0

    said = await plugin(running, "status")

    assert said.returncode == 0, said.stderr
    assert f"suspended drives: node-1/{device_of(running, other)};" in said.stderr
    assert "suspended volumes: pvc-1;" in said.stderr


async def test_a_list_of_volumes_in_json_says_how_much_is_used_and_nothing_where_nobody_knows(running: Cluster) -> None:
    """Upstream's says 0 for ever."""
    async with running.csi() as client:
        volume = (await client.controller.CreateVolume(creation("pvc-1", 16 * MIB))).volume
        pod = Pod(client, volume, running.stack.directory / "pods")
        await pod.stage()
        (Path(pod.staging) / "file").write_bytes(b"x" * 4 * MIB)

    async def status() -> dict[str, Any]:
        listed = await plugin(running, "list", "volumes", "--all", "-o", "json")
        assert listed.returncode == 0, listed.stderr
        (item,) = json.loads(listed.stdout)["items"]
        found: dict[str, Any] = item["status"]
        return found

    now = await status()
    assert 4 * MIB <= now["usedCapacity"] < 5 * MIB, now
    assert now["usedCapacity"] + now["availableCapacity"] == now["totalCapacity"] == 16 * MIB

    running.kill(f"nodeagent-{running.stack.nodes[0].name}")
    now = await status()
    assert not {"usedCapacity", "availableCapacity"} & now.keys(), now


async def test_a_volume_is_described_with_its_bytes_and_inodes_or_why_they_are_not_known(running: Cluster) -> None:
    async with running.csi() as client:
        volume = (await client.controller.CreateVolume(creation("pvc-1", 16 * MIB))).volume
        pod = Pod(client, volume, running.stack.directory / "pods")
        await pod.stage()
        (Path(pod.staging) / "file").write_bytes(b"x" * 4 * MIB)

    shown = await plugin(running, "describe", "volume", "pvc-1")

    assert " of 16 MiB (25%)" in shown.stdout, shown.stdout + shown.stderr
    assert "Inodes:" in shown.stdout
    usage = json.loads((await plugin(running, "describe", "volume", "pvc-1", "-o", "json")).stdout)["usage"]
    assert (usage["total"], usage["inodes_used"]) == (16 * MIB, 2)
    running.kill("nodeagent-node-1")
    shown = await plugin(running, "describe", "volume", "pvc-1")
    assert (shown.returncode, "not known: " in shown.stdout) == (0, True), shown.stdout + shown.stderr


async def test_a_drive_that_was_pulled_is_shown_with_advice_and_is_called_by_its_last_name(running: Cluster) -> None:
    fsuuid = min(await drives(running))
    device = await asyncio.to_thread(device_of, running, fsuuid)
    await asyncio.to_thread(pull, running, device)

    async def lost() -> None:
        """Its state comes with a heartbeat, that it has no device with the inventory after it."""
        said = await plugin(running, "status")
        assert f"node-1/{fsuuid} (was {device}): DriveLost: " in said.stderr
        assert "put the disk back" in said.stderr

    await eventually(lost, "the drive is lost")
    assert f"({device})" in (await plugin(running, "list", "drives", "--status", "lost")).stdout
    why = await plugin(running, "explain", "drive", f"node-1/{device}")
    assert (why.returncode, fsuuid in why.stdout, f"last {device}" in why.stdout) == (0, True, True), why.stderr
    running.kill("controller-1")
    running.start("controller-1")

    async def known() -> None:
        assert (await plugin(running, "cordon", f"node-1/{device}")).returncode == 0

    await eventually(known, "another leader knows its last name")
