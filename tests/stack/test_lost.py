"""remove --lost and remove node, as a person types them: on a stack of its own, whose agent dies for good."""

import json
from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.local.csi_client import creation
from directpv_cli.showing.terminal.typed import typeable
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller
from directpv_common.protocol.units import MIB
from stack.running import drives, plugin, run_at
from support.cluster import Cluster, eventually

pytestmark = pytest.mark.timeout(240)


async def claimed(running: Cluster, name: str) -> str:
    """Make a volume for a claim; return its drive."""
    request = creation(name, 16 * MIB)
    request.parameters.update({names.PVC_NAME: "data-0", names.PVC_NAMESPACE: "shop"})
    async with running.csi() as client:
        await client.controller.CreateVolume(request)
    async with running.bus() as bus:
        return (await bus.call(Controller.VOLUME_GET, m.VolumeId(name=name))).record.fsuuid


async def explained_device(running: Cluster, found: str, fsuuid: str) -> str:
    """Return what explain says of the device that carries a drive of the only node."""
    names = running.stack.nodes[0].devices
    for name in names:
        said = await plugin(running, "explain", "device", f"node-1/{name}")
        if fsuuid in said.stdout:
            return said.stdout
    raise AssertionError(f"no device of {names} carries {fsuuid}: {found}")


async def test_a_drive_that_is_there_is_not_given_up_with_its_volumes_and_nonsense_is_refused(running: Cluster) -> None:
    home = await claimed(running, "pvc-1")

    refused = await plugin(running, "remove", "--lost", home, "--dangerous")
    assert (refused.returncode, "is Ready, and is not given up" in refused.stderr) == (1, True), refused.stderr
    refused = await plugin(running, "remove", "node", "node-1", "--dangerous")
    assert (refused.returncode, "node node-1 is there" in refused.stderr) == (1, True), refused.stderr
    for words in (("--lost",), ("--lost", "--all"), ("--lost", home, "--wipe", "zero"), ("node",), ("node", "a", "b")):
        assert (await plugin(running, "remove", *words, "--dangerous")).returncode == 255, words
    assert len(await drives(running)) == 2


async def test_a_node_that_is_gone_is_given_up_after_a_plan_and_its_drives_serve_nobody_when_it_is_back(
    running: Cluster, tmp_path: Path
) -> None:
    home = await claimed(running, "pvc-1")

    async def on_its_drive() -> None:
        assert Path(running.stack.nodes[0].root, "mnt", home, "pvc-1").is_dir()

    await eventually(on_its_drive, "the volume is on its drive")
    running.kill("nodeagent-node-1")

    async def planned() -> None:
        plan = await plugin(running, "remove", "node", "node-1")
        assert (plan.returncode, "add --dangerous" in plan.stderr) == (1, True), plan.stderr
        assert "pvc-1 (16 MiB, claim shop/data-0)" in plan.stderr
        assert plan.stderr.count("would be removed") == 2

    await eventually(planned, "the node is away")
    assert (await plugin(running, "remove", "node", "node-1", "--dangerous", "--dry-run")).returncode == 0
    assert len(await drives(running)) == 2

    done = await plugin(running, "remove", "node", "node-1", "--dangerous", "-o", "json")
    assert (done.returncode, "delete pvc NAME" in done.stderr) == (0, True), done.stderr
    assert sum(each["count"] for each in json.loads(done.stdout)["drives"]) == 1
    assert await drives(running) == {}
    for words in ((), ("--dangerous",)):
        again = await plugin(running, "remove", "node", "node-1", *words)
        assert (again.returncode, "node-1 was removed already, at " in again.stderr) == (0, True), again.stderr
    running.start("nodeagent-node-1")

    async def shown() -> str:
        found = await plugin(running, "discover", "--all", "--output-file", str(tmp_path / "drives.yaml"))
        assert found.stdout.count("was removed from DirectPV") == 2, found.stdout + found.stderr
        return found.stdout

    found = await eventually(shown, "its disks are known as removed")
    assert "holds volumes (pvc-1)" in found
    assert (tmp_path / "drives.yaml").read_text().count("name: loop") == 1, "the one without volumes"
    assert await drives(running) == {}
    again = await plugin(running, "remove", home, "--lost", "--dangerous")
    assert (again.returncode, "it was removed already, at " in again.stderr) == (0, True), again.stderr
    explained = await explained_device(running, found, home)
    assert "cannot be initialised" in explained
    advice = typeable(f"kubectl directpv recover {home}")
    assert f"holds volumes (pvc-1); to have it back with them: {advice}; if" in explained
    plan = await plugin(running, "remove", home, "--lost")
    assert (plan.returncode, "would be" in plan.stderr) == (0, False), plan.stderr


async def test_a_volume_whose_node_was_given_up_is_unmounted_all_the_same_when_its_agent_is_back(
    running: Cluster, tmp_path: Path
) -> None:
    await claimed(running, "pvc-1")
    place = tmp_path / "place"
    mounted = await run_at(running, "directpv", "volume", "mount", "pvc-1", str(place))
    assert mounted.returncode == 0, mounted.stderr
    running.kill("nodeagent-node-1")

    async def given_up() -> None:
        done = await plugin(running, "remove", "node", "node-1", "--dangerous")
        assert done.returncode == 0, done.stderr

    await eventually(given_up, "the node is away, and given up")
    running.start("nodeagent-node-1")

    async def unmounted() -> None:
        done = await run_at(running, "directpv", "volume", "unmount", "pvc-1")
        assert (done.returncode, "Volume pvc-1 unmounted" in done.stderr) == (0, True), done.stderr

    await eventually(unmounted, "its agent is there, and unmounts it")
    assert (place.is_dir(), place.is_mount()) == (True, False)
    again = await run_at(running, "directpv", "volume", "unmount", "pvc-1")
    assert (again.returncode, "does not exist, and nothing of it is mounted" in again.stderr) == (1, True)
