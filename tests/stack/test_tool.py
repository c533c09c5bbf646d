"""The tool against a running stack: volumes without CSI, and what it says of what is well and what is not."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from directpv_cli.showing.terminal.typed import typeable
from stack.running import plugin, run_at
from support.cluster import Cluster, cluster, eventually, in_thread

DATA = "what was written"
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(nodes=2, drives=1) as stack:
        in_thread(lambda: asyncio.run(stack.initialise()))
        yield stack


async def directpv(running: Cluster, *argv: str) -> str:
    """Run the program, which must succeed; return all that it says."""
    done = await run_at(running, "directpv", *argv)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


async def test_a_volume_is_made_mounted_kept_and_deleted_in_a_line_each(running: Cluster, tmp_path: Path) -> None:
    place = tmp_path / "mine"
    assert "created: 32 MiB" in await directpv(running, "volume", "create", "mine", "--size", "32MiB")
    assert "exists already: 32 MiB" in await directpv(running, "volume", "create", "mine", "--size", "32MiB")
    other = await run_at(running, "directpv", "volume", "create", "mine", "--size", "33MiB")
    assert (other.returncode, "--size: there is a volume mine already, of 32 MiB" in other.stderr) == (1, True)
    await directpv(running, "volume", "mount", "mine", str(place))
    (place / "file").write_text(DATA)

    async def listed() -> None:
        assert {"mine", "Bounded", str(place)} <= set((await directpv(running, "volume", "list")).split())

    await eventually(listed, "it is listed with its place")
    refused = await run_at(running, "directpv", "volume", "rm", "mine")
    assert (refused.returncode, "unmount mine first" in refused.stderr) == (1, True)
    await directpv(running, "volume", "unmount", "mine")
    assert not place.exists() or list(place.iterdir()) == []

    again = tmp_path / "again"
    await directpv(running, "volume", "mount", "mine", str(again))
    assert (again / "file").read_text() == DATA

    async def listed_again() -> None:
        assert str(again) in (await directpv(running, "volume", "list")).split()

    await eventually(listed_again, "it is listed with its other place")
    await directpv(running, "volume", "unmount", "mine")

    async def removed() -> None:
        assert "mine" in await directpv(running, "volume", "rm", "mine")

    await eventually(removed, "its node has told that it is mounted nowhere")
    assert "no volumes" in await directpv(running, "volume", "list")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create", "x", "--size", "9GiB"], "--size: no drive can hold volume x (9 GiB)"),
        (["create", "x", "--node", "n9"], "this stack has no node n9; it has node-1, node-2"),
        (["mount", "nothing", "/tmp/nothing"], "volume nothing does not exist"),
        (["unmount", "nothing"], "volume nothing does not exist"),
        (["rm", "nothing"], "volume nothing does not exist"),
    ],
)
async def test_a_volume_that_cannot_be_had_is_refused_in_a_line(running: Cluster, words: list[str], said: str) -> None:
    done = await run_at(running, "directpv", "volume", *words)

    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def test_a_volume_is_not_mounted_over_what_is_there(running: Cluster, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(DATA)
    await directpv(running, "volume", "create", "over")
    refused = await run_at(running, "directpv", "volume", "mount", "over", str(tmp_path))
    deep = await run_at(running, "directpv", "volume", "mount", "over", str(tmp_path / "a/b"))
    await directpv(running, "volume", "rm", "over")

    assert (refused.returncode, "is not empty" in refused.stderr) == (1, True)
    assert (deep.returncode, f"there is no directory {tmp_path / 'a'}; make it first" in deep.stderr) == (1, True)
    assert (tmp_path / "file").read_text() == DATA


async def test_a_refused_volume_is_explained_with_what_would_help(running: Cluster) -> None:
    await plugin(running, "cordon", "--nodes=node-1")
    await run_at(running, "directpv", "volume", "create", "large", "--size", "2GiB")

    async def explained() -> str:
        done = await plugin(running, "explain", "volume", "large")
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = await eventually(explained, "the refusal is among the events")
    await plugin(running, "uncordon", "--nodes=node-1")
    assert "volume large was not placed" in said
    assert "it is cordoned; 892.14 MiB free of 2 GiB asked" in said
    assert typeable("kubectl directpv uncordon") in said
    assert "ask for 892.14 MiB at most" in said


async def test_status_is_healthy_only_while_all_is_and_names_who_is_away(running: Cluster) -> None:
    well = await plugin(running, "status")
    assert well.returncode == 0, well.stdout + well.stderr
    assert "2 of 2 online" in well.stdout

    running.kill("nodeagent-node-2")
    try:

        async def unwell() -> None:
            done = await plugin(running, "status", "-o", "json")
            found = json.loads(done.stdout)
            assert (done.returncode, found["healthy"]) == (1, False)
            assert any("node node-2 is offline" in each for each in found["troubles"]), found

        await eventually(unwell, "the node that is away is a trouble")
        asked = await plugin(running, "explain", "device", "node-2/sda")
        assert (asked.returncode, "node node-2 is offline" in asked.stderr) == (1, True)
        shown = await plugin(running, "describe", "node", "node-2")
        assert "Offline" in shown.stdout
    finally:
        running.start("nodeagent-node-2")

    async def healthy() -> None:
        done = await plugin(running, "status")
        assert done.returncode == 0, done.stdout + done.stderr

    await eventually(healthy, "healthy again")
    told = (await plugin(running, "events", "--type", "node", "--nodes", "node-2")).stdout
    assert [line.split()[2] for line in told.splitlines()] == ["node.offline", "node.online"]


async def test_what_needs_a_node_that_is_away_is_refused_by_its_name_and_goes_on_when_it_is_back(
    running: Cluster, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    await directpv(running, "volume", "create", "away", "--node", "node-2")
    running.kill("nodeagent-node-2")
    try:
        assert "Offline" in await directpv(running, "volume", "list")
        asked = (["create", "x", "--node", "node-2"], ["mount", "away", str(place)], ["unmount", "away"])
        for words in asked:
            refused = await run_at(running, "directpv", "volume", *words)
            assert (refused.returncode, "node node-2 is offline" in refused.stderr) == (1, True), refused.stderr
            assert "directpv up" in refused.stderr
        assert not place.exists()

        async def offline() -> None:
            assert "(offline)" in (await plugin(running, "info")).stdout

        await eventually(offline, "the controller misses the node")
        assert "will be deleted" in await directpv(running, "volume", "rm", "away")
    finally:
        running.start("nodeagent-node-2")

    async def gone() -> None:
        assert "no volumes" in await directpv(running, "volume", "list")

    await eventually(gone, "what was deleted meanwhile goes")


async def test_describe_shows_a_drive_with_its_volumes_and_events_and_takes_every_name_of_it(running: Cluster) -> None:
    listed = json.loads((await plugin(running, "list", "drives", "-o", "json")).stdout)
    drive = listed["items"][0]["metadata"]
    node, device = (drive["labels"][f"directpv.min.io/{key}"] for key in ("node", "drive-name"))
    pages = [await plugin(running, "describe", "drive", word) for word in (drive["name"][:13], f"{node}/{device}")]

    assert {page.returncode for page in pages} == {0}
    for page in pages:
        assert drive["name"] in page.stdout
        assert "Last events" in page.stdout
        assert "drive.registered" in page.stdout


async def test_a_stack_that_was_not_named_is_found_but_never_taken_down(running: Cluster) -> None:
    env = {key: value for key, value in os.environ.items() if key != "DIRECTPV_STATE_DIR"}
    program = (
        "import pathlib; from directpv_cli.local import __main__ as local\n"
        "local.DEFAULT_DIR = pathlib.Path('/nonexistent'); local.main()"
    )
    down = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program, "down"], env=env, capture_output=True, text=True, timeout=60
    )
    assert down.returncode == 1
    assert f"directpv down --state-dir {running.stack.directory}" in down.stderr
    assert (running.stack.directory / "stack.json").exists()
