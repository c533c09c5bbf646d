"""remove, as a person types it: on a stack of its own, for it takes drives away."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from directpv_cli.local.csi_client import creation
from directpv_common.protocol.names import DRIVE_NAME, NODE
from directpv_common.protocol.units import MIB
from directpv_csi_gateway.pb import csi_pb2 as csi
from stack.running import drives, plugin, run
from support.cluster import Cluster, cluster, eventually

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def running() -> AsyncIterator[Cluster]:
    with cluster(nodes=1, drives=3) as stack:
        await stack.initialise()
        yield stack


async def home_of(running: Cluster, name: str) -> str:
    await volume_made(running, name)
    listed = json.loads((await plugin(running, "list", "volumes", "--all", "-o", "json")).stdout)["items"]
    return str(next(item["status"]["fsuuid"] for item in listed if item["metadata"]["name"] == name))


async def volume_made(running: Cluster, name: str) -> None:
    async with running.csi() as client:
        await client.controller.CreateVolume(creation(name, 16 * MIB))


async def test_drives_without_volumes_go_and_others_are_refused_and_all_of_it_may_be_repeated(
    running: Cluster, tmp_path: Path
) -> None:
    home = await home_of(running, "pvc-1")
    empty = sorted(set(await drives(running)) - {home})
    listed = json.loads((await plugin(running, "list", "drives", "-o", "json")).stdout)["items"]
    labels = {each["metadata"]["name"]: each["metadata"]["labels"] for each in listed}
    called = {fsuuid: f"{each[NODE]}/{each[DRIVE_NAME]}" for fsuuid, each in labels.items()}

    dry = await plugin(running, "remove", "--all", "--dry-run")
    assert (dry.returncode, dry.stderr.count("would be removed (dry run)")) == (1, 2)
    assert "has 1 volume: pvc-1" in dry.stderr
    assert len(await drives(running)) == 3

    done = await plugin(running, "remove", "--all")
    assert (done.returncode, done.stderr.count("removed: ")) == (1, 2), done.stderr
    assert "1 of 3 drives was not removed" in done.stderr
    assert "its file system stays on it" in done.stderr
    assert set(await drives(running)) == {home}

    again = await plugin(running, "remove", *empty, "-o", "json")
    assert again.returncode == 0, again.stderr
    assert {each["outcome"] for each in json.loads(again.stdout)["drives"]} == {"Removed"}
    for word in (called[empty[0]], called[empty[0]].replace("/", "/dev/"), empty[0][:8]):
        for way in ((), ("--lost", "--dangerous")):
            named = await plugin(running, "remove", word, *way)
            assert (named.returncode, "it was removed already, at 20" in named.stderr) == (0, True), named.stderr
            assert f"Drive {called[empty[0]]} removed" in named.stderr

    found = await plugin(running, "discover", "--output-file", str(tmp_path / "drives.yaml"))
    assert found.stdout.count("was removed from DirectPV at") == 2, found.stdout + found.stderr
    text = (tmp_path / "drives.yaml").read_text()
    chosen = [drive["select"] for node in yaml.safe_load(text)["nodes"] for drive in node["drives"]]
    assert chosen == ["no", "no"]


async def test_a_drive_is_wiped_when_its_volume_is_gone_and_can_be_initialised_without_force(
    running: Cluster, tmp_path: Path
) -> None:
    home = await home_of(running, "pvc-1")
    refused = await plugin(running, "remove", home, "--wipe", "zero")
    assert refused.returncode == 1
    async with running.csi() as client:
        await client.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id="pvc-1"))

    async def wiped() -> None:
        done = await plugin(running, "remove", home, "--wipe", "zero")
        assert done.returncode == 0, done.stderr
        assert "the device was wiped" in done.stderr

    await eventually(wiped, "the volume's data is gone, and the drive is wiped")
    path = tmp_path / "drives.yaml"
    found = await plugin(running, "discover", "--output-file", str(path))
    assert found.returncode == 0, found.stderr
    made = await plugin(running, "init", str(path), "--dangerous")
    assert (made.returncode, made.stdout.count("Success")) == (0, 1), made.stdout
    assert len(await drives(running)) == 3


async def test_an_order_waits_for_an_agent_that_is_away_and_is_carried_out_when_it_is_back(running: Cluster) -> None:
    fsuuid = min(await drives(running))
    running.kill("nodeagent-node-1")

    async def recorded() -> None:
        said = await plugin(running, "remove", fsuuid, "--timeout", "1s")
        assert (said.returncode, "is recorded as removed, and waits" in said.stderr) == (1, True), said.stderr
        assert (await drives(running))[fsuuid]["status"] == "Removed"

    await eventually(recorded, "it is recorded")
    running.start("nodeagent-node-1")

    async def gone() -> None:
        assert fsuuid not in await drives(running)

    await eventually(gone, "the agent has done it")
    assert (await plugin(running, "remove", fsuuid)).returncode == 0


async def test_selectors_beside_all_and_beside_ids_narrow_what_is_changed(running: Cluster) -> None:
    one, other, _ = sorted(await drives(running))
    for words in (("cordon",), ("label", "drives", "tier=hot"), ("remove",)):
        missed = await plugin(running, *words, "--nodes", "elsewhere", "--all")
        assert (missed.returncode, "no drives match" in missed.stderr) == (1, True), missed.stderr
    gone = await plugin(running, "remove", one, "--nodes", "elsewhere")
    assert (gone.returncode, f"drive not found: {one}" in gone.stderr) == (1, True), gone.stderr
    assert len(await drives(running)) == 3

    only = await plugin(running, "cordon", other, "--nodes", "node-1", "--all")
    assert (only.returncode, only.stderr.count("cordoned")) == (0, 1), only.stderr
    done = await plugin(running, "remove", one, "--nodes", "node-1", "--all")
    assert (done.returncode, one in await drives(running), len(await drives(running))) == (0, False, 2), done.stderr


async def test_what_makes_no_sense_is_refused_before_anything_is_asked(running: Cluster) -> None:
    for words in ((), ("x y",), ("--all", "--wipe", "shred"), ("--status", "nonsense")):
        said = await asyncio.to_thread(run, "kubectl-directpv", "remove", *words, url=running.stack.nats_url)
        assert said.returncode == 255, said.stderr
    for word in ("00000000-0000-4000-8000-00000000dead", "00000000", "node-1/nothing"):
        for way in ((), ("--lost", "--dangerous")):
            unknown = await plugin(running, "remove", word, *way)
            assert unknown.returncode == 1, unknown.stderr
            assert word in unknown.stderr
            ignored = await plugin(running, "remove", word, *way, "--ignore-not-found")
            assert (ignored.returncode, word in ignored.stderr) == (0, True), ignored.stderr
    assert (await plugin(running, "remove", "node", "node-9", "--dangerous")).returncode == 1
    assert (await plugin(running, "remove", "node", "node-9", "--dangerous", "--ignore-not-found")).returncode == 0
    assert len(await drives(running)) == 3
