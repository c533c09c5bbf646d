"""The plugin against a stack: what people type first."""

import asyncio
import json
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from directpv_cli.local.csi_client import connect, creation
from directpv_common.protocol import names
from directpv_common.protocol.units import MIB
from directpv_csi_gateway.pb import csi_pb2 as csi
from stack.running import run, traces
from support.cluster import Pod, eventually

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[str, Path]]:
    """A stack of two nodes that the plugin's tests share; gives the bus and a directory to work in."""
    path = Path(tempfile.gettempdir()) / f"dpv-{secrets.token_hex(4)}"
    up = run("directpv", "up", "--nodes", "2", "--drives", "2", "--nats-port", "0", "--state-dir", str(path))
    assert up.returncode == 0, up.stdout + up.stderr
    try:
        yield json.loads((path / "stack.json").read_text())["nats_url"], path
    finally:
        down = run("directpv", "down", "--yes", "--state-dir", str(path))
        assert down.returncode == 0, down.stdout + down.stderr
        assert traces(path) == []


@pytest.fixture(scope="module")
def initialised(shared: tuple[str, Path]) -> str:
    """The same stack, after discover and init: gives the bus."""
    url, path = shared
    deadline = time.monotonic() + 60
    while True:
        found = run("kubectl-directpv", "discover", url=url, cwd=path)
        text = (path / "drives.yaml").read_text() if found.returncode == 0 else ""
        if text.count("select") == 4:
            break
        assert time.monotonic() < deadline, found.stdout + found.stderr
    assert [node["name"] for node in yaml.safe_load(text)["nodes"]] == ["node-1", "node-2"]
    refused = run("kubectl-directpv", "init", "drives.yaml", url=url, cwd=path)
    assert (refused.returncode, "--dangerous" in refused.stderr) == (1, True)
    done = run("kubectl-directpv", "init", "drives.yaml", "--dangerous", url=url, cwd=path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Success") == 4
    again = run("kubectl-directpv", "init", "drives.yaml", "--dangerous", url=url, cwd=path)
    assert (again.returncode, again.stdout.count("Exists already, and was left as it is")) == (0, 4)
    return url


def test_status_shows_what_runs(shared):
    status = run("directpv", "status", "--state-dir", str(shared[1]))

    assert status.returncode == 0
    for name in ("nats", "controller-1", "nodeagent-node-2", "gateway-node-1"):
        assert name in status.stdout


def test_a_second_stack_in_the_same_directory_is_refused(shared):
    again = run("directpv", "up", "--state-dir", str(shared[1]), "--drives", "7")

    assert again.returncode == 1
    assert "--drives is 2 there" in again.stderr
    assert "directpv down" in again.stderr


def test_drives_are_listed_as_a_table_and_as_upstreams_objects(initialised):
    table = run("kubectl-directpv", "list", "drives", "--no-headers", url=initialised)
    objects = json.loads(run("kubectl-directpv", "list", "drives", "-o", "json", url=initialised).stdout)["items"]

    assert table.stdout.count("Ready") == 4
    assert {item["kind"] for item in objects} == {"DirectPVDrive"}
    for item in objects:
        status = item["status"]
        assert status["freeCapacity"] + status["allocatedCapacity"] == status["totalCapacity"]
        assert item["metadata"]["name"] == status["fsuuid"]


def test_drives_are_selected_by_node_ranges(initialised):
    listed = run("kubectl-directpv", "list", "drives", "--nodes", "node-{2...9}", "--no-headers", url=initialised)

    assert (listed.stdout.count("node-2"), listed.stdout.count("node-1")) == (2, 0)


def test_info_sums_up_nodes(initialised):
    info = run("kubectl-directpv", "info", url=initialised)

    assert info.returncode == 0
    assert "4 drives" in info.stderr
    assert "node-1" in info.stdout


def test_initialised_devices_are_no_longer_offered(initialised, tmp_path):
    found = run("kubectl-directpv", "discover", "--all", url=initialised, cwd=tmp_path)

    assert (found.returncode, "in use as drives already" in found.stderr) == (0, True)
    assert run("kubectl-directpv", "discover", url=initialised, cwd=tmp_path).returncode == 1
    assert found.stdout.count("Used by DirectPV") == 4
    assert not (tmp_path / "drives.yaml").exists()


def test_a_repeated_init_finds_the_drives_that_the_first_one_made(shared, initialised):
    ids_before = drive_ids(initialised)
    again = run("kubectl-directpv", "init", "drives.yaml", "--dangerous", url=initialised, cwd=shared[1])

    assert again.returncode == 0
    assert {fsuuid for fsuuid in ids_before if fsuuid in again.stdout} == ids_before
    assert drive_ids(initialised) == ids_before


def test_a_device_that_is_not_as_it_was_discovered_is_not_formatted(shared, initialised, tmp_path):
    ids_before = drive_ids(initialised)
    text = (shared[1] / "drives.yaml").read_text()
    (tmp_path / "drives.yaml").write_text(re.sub(r"\$[^\n]{6}", "$AAAAAA", text))
    refused = run("kubectl-directpv", "init", "drives.yaml", "--dangerous", url=initialised, cwd=tmp_path)

    assert refused.returncode == 1
    assert "4 of 4 devices were not initialised" in refused.stderr
    assert "discover" in refused.stdout
    assert drive_ids(initialised) == ids_before


def test_repair_waits_for_the_outcome_and_its_exit_status_tells_the_truth(initialised):
    first, second, *_ = sorted(drive_ids(initialised))
    dry = run("kubectl-directpv", "repair", first, "--dry-run", url=initialised)
    wet = run("kubectl-directpv", "repair", first, second, url=initialised)
    begun = run("kubectl-directpv", "repair", second, "--no-wait", url=initialised)
    joined = run("kubectl-directpv", "repair", second, url=initialised)
    unknown = "00000000-0000-4000-8000-00000000dead"
    bad = run("kubectl-directpv", "repair", first, unknown, url=initialised)

    said = [each.stderr for each in (dry, wet, begun, joined)]
    assert [dry.returncode, wet.returncode, begun.returncode, joined.returncode] == [0, 0, 0, 0], said
    assert (dry.stderr.count("Clean"), wet.stderr.count("Clean")) == (1, 2)
    assert (bad.returncode, bad.stderr.count("Clean")) == (1, 1)
    assert unknown in bad.stderr
    assert "1 of 2 drives was not repaired" in bad.stderr
    listed = run("kubectl-directpv", "list", "drives", "--all", "--no-headers", url=initialised)
    assert listed.stdout.count("Ready") == 4


def test_locating_a_disk_without_a_light_says_so_for_each_and_fails(initialised):
    first, second, *_ = sorted(drive_ids(initialised))
    dry = run("kubectl-directpv", "locate", first, "--dry-run", url=initialised)
    both = run("kubectl-directpv", "locate", first, second, "--off", "-o", "json", url=initialised)

    assert (dry.returncode, both.returncode) == (1, 1)
    assert "the kernel shows no locate light for loop" in dry.stderr
    assert "2 of 2 drives cannot be located" in both.stderr
    assert [light["fsuuid"] for light in json.loads(both.stdout)["lights"]] == [first, second]


def drive_ids(url: str) -> set[str]:
    listed = json.loads(run("kubectl-directpv", "list", "drives", "--all", "-o", "json", url=url).stdout)
    return {item["metadata"]["name"] for item in listed["items"]}


def test_a_cordoned_drive_is_shown_so_and_dry_run_changes_nothing(initialised):
    dry = run("kubectl-directpv", "cordon", "--nodes", "node-1", "--dry-run", url=initialised)
    unchanged = run("kubectl-directpv", "list", "drives", url=initialised).stdout
    wet = run("kubectl-directpv", "cordon", "--nodes", "node-1", url=initialised)
    changed = run("kubectl-directpv", "list", "drives", url=initialised).stdout
    back = run("kubectl-directpv", "uncordon", "--all", url=initialised)

    assert [dry.returncode, wet.returncode, back.returncode] == [0, 0, 0]
    assert (unchanged.count("SchedulingDisabled"), changed.count("SchedulingDisabled")) == (0, 2)
    assert "SchedulingDisabled" not in run("kubectl-directpv", "list", "drives", url=initialised).stdout


def test_labels_are_set_shown_and_removed_and_reserved_ones_refused(initialised):
    assert run("kubectl-directpv", "label", "drives", "shelf=7", "--all", url=initialised).returncode == 0
    shown = run("kubectl-directpv", "list", "drives", "--labels", "shelf=7", "--show-labels", url=initialised)
    assert shown.stdout.count("shelf=7") == 4
    assert run("kubectl-directpv", "label", "drives", "shelf-", "--all", url=initialised).returncode == 0
    assert "shelf" not in run("kubectl-directpv", "list", "drives", "--show-labels", url=initialised).stdout
    listed = run("kubectl-directpv", "list", "drives", "--no-headers", url=initialised).stdout.splitlines()
    (fsuuid, node, device), (other, *_) = (line.split()[:3] for line in listed[:2])
    named = run("kubectl-directpv", "label", "drives", f"{node}/{device}", "shelf=8", other, url=initialised)
    assert (named.returncode, named.stderr.count("labeled")) == (0, 2), named.stderr
    shown = run("kubectl-directpv", "list", "drives", "--labels", "shelf=8", "-o", "name", url=initialised).stdout
    assert sorted(line.rpartition("/")[2] for line in shown.split()) == sorted([fsuuid, other])
    assert run("kubectl-directpv", "label", "drives", "shelf-", fsuuid, other, url=initialised).returncode == 0
    reserved = run("kubectl-directpv", "label", "drives", "node=x", "--all", url=initialised)
    assert reserved.returncode == 255
    assert "directpv.min.io/node" in reserved.stderr


async def test_volumes_are_labeled_by_what_selects_them_and_a_dry_run_changes_nothing(shared, initialised):
    url, path = shared
    async with connect(str(path / "nodes" / "node-1" / "csi.sock")) as client:
        for name in ("pvc-a", "pvc-b"):
            await client.controller.CreateVolume(creation(name, 32 * MIB))

        async def command(*words: str) -> tuple[int, str, str]:
            done = await asyncio.to_thread(run, "kubectl-directpv", *words, url=url)
            return done.returncode, done.stdout, done.stderr

        dry = await command("label", "volumes", "team=red", "--ids", "pvc-a", "--dry-run")
        assert (dry[0], "pvc-a labeled (dry run)" in dry[2]) == (0, True), dry
        assert "team=red" not in (await command("list", "volumes", "--all", "--show-labels"))[1]
        assert (await command("label", "volumes", "pvc-a", "team=red"))[0] == 0
        shown = (await command("list", "volumes", "--labels", "team=red", "--show-labels", "--no-headers"))[1]
        assert (shown.count("pvc-"), "pvc-a" in shown, "team=red" in shown) == (1, True, True), shown
        assert (await command("label", "volumes", "team-", "--all"))[0] == 0
        assert "team=red" not in (await command("list", "volumes", "--all", "--show-labels"))[1]
        nobodys = await command("label", "volumes", "team=red", "--pod-names", "nobody")
        assert (nobodys[0], "no volumes match" in nobodys[2]) == (1, True)
        for name in ("pvc-a", "pvc-b"):
            await client.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=name))


async def test_a_volume_in_use_is_listed_with_its_size_place_pod_and_claim(shared, initialised):
    url, path = shared
    request = creation("pvc-listed", 32 * MIB)
    request.parameters.update({names.PVC_NAME: "data-0", names.PVC_NAMESPACE: "shop"})
    async with connect(str(path / "nodes" / "node-1" / "csi.sock")) as client:
        volume = (await client.controller.CreateVolume(request)).volume
        node = volume.accessible_topology[0].segments[names.NODE]
    async with connect(str(path / "nodes" / node / "csi.sock")) as client:
        pod = Pod(client, volume, path / "pods")
        volume.volume_context.update({names.CONTEXT_POD_NAME: "minio-0", names.CONTEXT_POD_NAMESPACE: "shop"})
        await pod.stage()
        await pod.publish()

        async def listed() -> str:
            shown = await asyncio.to_thread(
                run, "kubectl-directpv", "list", "volumes", "--pvc", "--no-headers", url=url
            )
            assert "minio-0" in shown.stdout, shown.stdout + shown.stderr
            return shown.stdout

        row = (await eventually(listed, "the volume is listed with its pod")).split()
        assert row[0] == "pvc-listed"
        assert {"32", "MiB", node, "minio-0", "shop", "Bounded", "shop/data-0"} <= set(row)
        as_json = await asyncio.to_thread(run, "kubectl-directpv", "list", "volumes", "-o", "json", url=url)
        (item,) = json.loads(as_json.stdout)["items"]
        assert (item["kind"], item["status"]["totalCapacity"]) == ("DirectPVVolume", 32 * MIB)
        assert item["status"]["targetPath"] == pod.target
        await pod.unpublish()
        await pod.unstage()
        await client.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id="pvc-listed"))
    gone = await asyncio.to_thread(run, "kubectl-directpv", "list", "volumes", "--all", url=url)
    assert (gone.returncode, "no volumes match" in gone.stderr) == (0, True)


def test_events_tell_what_happened(initialised):
    shown = run("kubectl-directpv", "events", "--since", "1h", url=initialised)
    as_json = run("kubectl-directpv", "events", "-o", "json", url=initialised)

    assert "drive." in shown.stdout
    assert {json.loads(line)["specversion"] for line in as_json.stdout.splitlines()} == {"1.0"}
