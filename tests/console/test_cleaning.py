"""clean and recover in the console: what nobody has goes, what drives remember comes back, with the plugin's checks."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import expect

from console.acting import confirmed, listed, planned
from console.conftest import MS, Visit, accessible
from directpv_cli.commands.listing import all_drives, all_nodes, all_volumes
from directpv_cli.local.csi_client import creation
from directpv_common.protocol import messages as m
from directpv_common.protocol.api import Node
from directpv_common.protocol.units import MIB
from support.cluster import Cluster, Pod, eventually, in_thread

OTHER = "old-server"


def volume(running: Cluster, name: str) -> m.VolumeInfo:
    """Make a volume that no claim asked for; return it."""

    async def make() -> m.VolumeInfo:
        async with running.csi() as client, running.bus() as bus:
            await client.controller.CreateVolume(creation(name, 16 * MIB))
            (made,) = await all_volumes(bus, m.ListVolumes(names=(name,)))
            return made

    return in_thread(lambda: asyncio.run(make()))


def test_a_volume_that_nobody_has_is_cleaned_by_its_name_and_one_in_use_or_of_a_claim_is_not(
    visit: Visit, running: Cluster, volumes: list[str]
) -> None:
    volume(running, "pvc-left")
    expect(visit.go("volumes/pvc-used").locator("#state")).to_contain_text("Bound")
    for name, why in (("pvc-used", "it is mounted on node"), ("pvc-hostile", "give --kubeconfig")):
        page = planned(visit.go(f"volumes/{name}"), "Clean")
        expect(page.locator("h2")).to_have_text("It cannot be done")
        expect(page.locator(".log")).to_contain_text(f"Volume {name} kept: ")
        expect(page.locator(".log")).to_contain_text(why)
    page = planned(visit.go("volumes/pvc-left"), "Clean")
    expect(page.locator(".log")).to_contain_text("would be deleted")
    accessible(page)
    page.locator("main form button").click()
    expect(page.locator("[role=alert]").last).to_contain_text("type pvc-left to confirm")
    assert "pvc-left" in listed(running, "volumes", "--all")
    page.get_by_label("Name").fill("pvc-left")
    assert "deleted" in confirmed(page)
    left = listed(running, "volumes", "--all")
    assert ("pvc-left" in left, "pvc-used" in left, "pvc-hostile" in left) == (False, True, True)


@contextmanager
def staged(running: Cluster, volume: m.VolumeInfo) -> Iterator[None]:
    """Have a pod use a volume while the block runs."""
    node = [each.name for each in running.stack.nodes].index(volume.node)

    async def change(begin: bool) -> None:
        async with running.csi(node) as client:
            made = (await client.controller.CreateVolume(creation(volume.record.name, 16 * MIB))).volume
            pod = Pod(client, made, running.stack.directory / "pods")
            await (pod.stage() if begin else pod.unstage())

    in_thread(lambda: asyncio.run(change(begin=True)))
    try:
        yield
    finally:
        in_thread(lambda: asyncio.run(change(begin=False)))


def test_of_volumes_that_were_ticked_those_that_nobody_has_go_unless_somebody_has_them_meanwhile(
    visit: Visit, running: Cluster, volumes: list[str]
) -> None:
    volume(running, "pvc-spare-1")
    kept = volume(running, "pvc-spare-2")
    page = visit.go("volumes")
    expect(page.locator("tbody tr")).to_have_count(4)
    page.get_by_label("all volumes of this page").check()
    page.locator("summary").click()
    page = planned(page, "Clean")
    expect(page.locator(".log li", has_text="would be deleted")).to_have_count(2)
    with staged(running, kept):
        page.get_by_label("Name").fill("4 volumes")
        page.locator("main form button").click()
        expect(page.locator("main [role=alert]").first).to_contain_text("what would be done has changed")
        expect(page.locator(".log li", has_text="would be deleted")).to_have_count(1)
        assert listed(running, "volumes", "--all").count("pvc-spare") == 2
        page.get_by_label("Name").fill("4 volumes")
        said = confirmed(page)
        assert (said.count("deleted"), said.count("kept: ")) == (1, 3), said
    left = listed(running, "volumes", "--all")
    assert ("pvc-spare-1" in left, "pvc-spare-2" in left) == (False, True)


def test_a_disk_that_says_that_it_is_another_nodes_is_taken_in_with_its_volumes_by_plan_and_progress(
    visit: Visit, running: Cluster
) -> None:
    kept = volume(running, "pvc-remembered")
    fsuuid = kept.record.fsuuid
    _is_on_its_drive(running, kept)
    number = [each.name for each in running.stack.nodes].index(kept.node)
    _belongs_elsewhere(running, number, fsuuid)

    page = planned(visit.go(f"nodes/{kept.node}"), "Recover")
    row = page.get_by_role("row").filter(has_text=fsuuid)
    expect(row).to_contain_text("adopt")
    expect(row).to_contain_text(f"of node {OTHER}, with 1 volume")
    accessible(page)
    assert fsuuid not in listed(running, "drives", "--all")
    said = confirmed(page, within=3 * MS)
    assert "recovered: " in said
    assert fsuuid in page.locator("#work table").inner_text()
    state = visit.go(f"drives/{fsuuid}").locator("#state")
    expect(state).to_contain_text("Ready")
    assert "pvc-remembered" in listed(running, "volumes", "--all")
    again = planned(visit.go(f"nodes/{kept.node}"), "Recover")
    expect(again.locator(".log")).to_contain_text("nothing to recover")


def _is_on_its_drive(running: Cluster, volume: m.VolumeInfo) -> None:
    """Wait until a volume is more than promised: its node has heard of it, and its record is written."""

    async def look() -> None:
        async with running.bus() as bus:
            asked = m.ListSeenDrives(fsuuid=volume.record.fsuuid)
            (drive,) = (await bus.call(Node.DRIVE_SEEN, asked, node=volume.node, within=30)).drives
        assert [each.name for each in drive.volumes] == [volume.record.name]

    in_thread(lambda: asyncio.run(eventually(look, "the volume is on its drive")))


def _belongs_elsewhere(running: Cluster, number: int, fsuuid: str) -> None:
    """Have a disk say that it is that of a node of a cluster that is gone, and the registry know nothing of it."""
    home, agent = running.stack.nodes[number], f"nodeagent-{running.stack.nodes[number].name}"
    for name in ("controller-1", agent):
        running.kill(name)
    for path in (running.stack.directory / "registry").iterdir():
        path.unlink()
    place = Path(home.root, "mnt", fsuuid)
    record = place / ".directpv/drive.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "node": OTHER}))
    subprocess.run(["umount", str(place)], check=True, timeout=30)
    for name in ("controller-1", agent):
        running.start(name)
    in_thread(lambda: asyncio.run(eventually(lambda: _without(running, fsuuid), "all but that drive are registered")))


async def _without(running: Cluster, fsuuid: str) -> None:
    async with running.bus() as bus:
        drives = {each.record.fsuuid for each in await all_drives(bus, m.ListDrives())}
        nodes = [each.info.name for each in await all_nodes(bus) if each.online]
    assert (len(drives), fsuuid in drives, len(nodes)) == (running.drives - 1, False, len(running.stack.nodes))
