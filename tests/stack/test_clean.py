"""clean, as a person types it on a local stack: there is no Kubernetes that says what is released."""

import json
from collections.abc import AsyncIterator

import pytest

from directpv_cli.commands.listing import all_nodes
from directpv_cli.local.csi_client import creation
from directpv_common.protocol import names
from directpv_common.protocol.units import MIB
from stack.running import plugin
from support.cluster import Cluster, Pod, cluster, eventually

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def running() -> AsyncIterator[Cluster]:
    with cluster(nodes=1, drives=1) as stack:
        await stack.initialise()
        yield stack


async def volumes(running: Cluster) -> set[str]:
    listed = await plugin(running, "list", "volumes", "--all", "-o", "json")
    return {item["metadata"]["name"] for item in json.loads(listed.stdout or '{"items": []}')["items"]}


async def test_named_volumes_go_and_those_that_are_used_or_claimed_are_kept(running: Cluster) -> None:
    claimed = creation("pvc-claimed", 16 * MIB)
    claimed.parameters.update({names.PVC_NAME: "data-0", names.PVC_NAMESPACE: "shop"})
    async with running.csi() as client:
        for request in (creation("pvc-1", 16 * MIB), creation("pvc-2", 16 * MIB), claimed):
            made = (await client.controller.CreateVolume(request)).volume
        used = (await client.controller.CreateVolume(creation("pvc-used", 16 * MIB))).volume
        assert made.volume_id == "pvc-claimed"
        pod = Pod(client, used, running.stack.directory / "pods")
        await pod.stage()
        assert (await plugin(running, "clean")).returncode == 255
        unnamed = await plugin(running, "clean", "--all")
        assert (unnamed.returncode, "name those that shall go" in unnamed.stderr) == (1, True), unnamed.stderr

        dry = await plugin(running, "clean", "pvc-1", "--dry-run")
        assert (dry.returncode, "would be deleted (dry run)" in dry.stderr) == (0, True), dry.stderr
        assert len(await volumes(running)) == 4

        async def known() -> None:
            seen = await plugin(running, "clean", "pvc-used", "--dry-run")
            assert "pvc-used kept: it is mounted on node node-1" in seen.stderr, seen.stderr

        await eventually(known, "the controller knows that pvc-used is mounted")
        done = await plugin(running, "clean", "pvc-1", "pvc-claimed", "pvc-used", "-o", "json")
        assert done.returncode == 0, done.stderr
        outcomes = {each["name"]: each["outcome"] for each in json.loads(done.stdout)["volumes"]}
        assert outcomes == {"pvc-1": "Deleted", "pvc-claimed": "Kept", "pvc-used": "Kept"}
        assert await volumes(running) == {"pvc-2", "pvc-claimed", "pvc-used"}
        await pod.unstage()
    await what_a_node_that_is_away_has_goes_later_and_that_is_said(running)
    again = await plugin(running, "clean", "pvc-1")
    assert (again.returncode, "pvc-1" in again.stderr) == (1, True), again.stderr
    ignored = await plugin(running, "clean", "pvc-1", "--ignore-not-found")
    assert ignored.returncode == 0, ignored.stderr


async def what_a_node_that_is_away_has_goes_later_and_that_is_said(running: Cluster) -> None:
    running.kill("nodeagent-node-1")

    async def away() -> None:
        async with running.bus() as bus:
            assert not any(node.online for node in await all_nodes(bus))

    await eventually(away, "the node is known to be away")
    done = await plugin(running, "clean", "pvc-2", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert "Volume pvc-2 on " in done.stderr
    assert "will be deleted when node node-1 is back" in done.stderr
    assert [each["outcome"] for each in json.loads(done.stdout)["volumes"]] == ["Deleting"]
    again = await plugin(running, "clean", "pvc-2", "-o", "json")
    outcomes = [(each["name"], each["outcome"]) for each in json.loads(again.stdout)["volumes"]]
    assert (again.returncode, outcomes) == (0, [("pvc-2", "Deleting")]), again.stderr
    assert "Volume pvc-2 was deleted already, and will be deleted when node node-1 is back" in again.stderr
    running.start("nodeagent-node-1")

    async def gone() -> None:
        assert "pvc-2" not in await volumes(running)

    await eventually(gone, "its node is back, and has deleted it")
