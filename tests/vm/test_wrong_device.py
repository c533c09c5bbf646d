"""Never the wrong device: what carries data or is in use is refused, with the reason, and not one byte changes."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.messages import Device, DriveStatus
from support.guest import network
from support.guest.disks import Disk
from support.guest.lab import Lab
from support.guest.node import Pod
from support.guest.recipes import IN_USE, SIGNED, UNMADE, Recipe
from support.guest.stock import Stock, content_of
from support.nats import nats_server
from support.node_client import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

CHANGED: Final = "device state changed"
USED: Final = "Used by DirectPV"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def every_stock(request: pytest.FixtureRequest) -> AsyncIterator[Stock]:
    with tempfile.TemporaryDirectory(prefix="directpv-vm-") as path:
        directory = Path(path)
        with nats_server(directory / "jetstream", host=network.HOST) as nats:
            async with connect_bus(nats.url, name="test", prefix="directpv.v1") as bus:
                lab = Lab(directory, nats, bus)
                try:
                    yield Stock(lab)
                finally:
                    await lab.close(failed=request.session.testsfailed > 0)


@pytest_asyncio.fixture(loop_scope="module")
async def stock(every_stock: Stock) -> AsyncIterator[Stock]:
    yield every_stock
    await every_stock.put_away()


def each(recipes: Iterable[Recipe]) -> pytest.MarkDecorator:
    """Return what runs a test with each; ``long`` are those that loop devices show as well, and variants."""
    long = (pytest.mark.long,)
    return pytest.mark.parametrize(
        "recipe",
        [pytest.param(each, id=each.name, marks=long if each.on_loops or each.variant else ()) for each in recipes],
    )


@each(IN_USE)
async def test_a_device_in_use_is_refused_even_by_force(stock: Stock, recipe: Recipe) -> None:
    disk = await stock.disk(small=recipe.small)
    name = await recipe.prepare(disk)
    device = await stock.device(disk, name)
    assert recipe.told in device.denied
    before = await content_of(disk)

    for force in (False, True):
        assert recipe.told in (await stock.order(disk, device, force=force)).error

    assert await content_of(disk) == before


async def test_a_device_that_a_program_holds_exclusively_is_refused_even_by_force(stock: Stock) -> None:
    disk = await stock.disk()
    before = await content_of(disk)
    code = f"import os, time; os.open('/dev/{disk.name}', os.O_EXCL); open('/run/holds', 'w'); time.sleep(1000)"
    await disk.hand.start("holder", "python3", "-c", code)
    await eventually(lambda: disk.hand.exists("/run/holds"), "it is held")
    device = await stock.device(disk)

    for force in (False, True):
        assert "in use by the kernel" in (await stock.order(disk, device, force=force)).error

    assert await content_of(disk) == before


@each(SIGNED)
async def test_what_a_device_carries_is_named_and_lost_by_force_only(stock: Stock, recipe: Recipe) -> None:
    disk = await stock.disk()
    await recipe.prepare(disk)
    device = await stock.device(disk)
    assert recipe.told in device.fs_type.split(", ")
    assert (device.needs_force, device.denied) == (True, ())
    before = await content_of(disk)

    refused = await stock.order(disk, device)

    assert f"carries {device.fs_type}" in refused.error
    assert await content_of(disk) == before
    made = await stock.order(disk, device, force=True)
    assert made.drive, made.error
    assert made.drive.status is DriveStatus.READY
    assert await disk.hand.run("wipefs", "--noheadings", "--output", "TYPE", f"/dev/{disk.name}") == "xfs"


@each(UNMADE)
async def test_a_device_that_changed_after_it_was_discovered_is_refused_even_by_force(
    stock: Stock, recipe: Recipe
) -> None:
    disk = await stock.disk()
    await recipe.prepare(disk, recipe.first)
    device = await stock.device(disk)
    assert device.denied == ()
    await recipe.prepare(disk)
    await stock.device(disk)
    before = await content_of(disk)

    for force in (False, True):
        assert CHANGED in (await stock.order(disk, device, force=force)).error

    assert await content_of(disk) == before


async def test_a_device_that_grew_after_it_was_discovered_is_refused_even_by_force(stock: Stock) -> None:
    disk = await stock.disk()
    await disk.table(f"0 {520 * 2048} linear {disk.machine.disk_device(disk.index)} 0")
    await resize(disk, 520)
    device = await stock.device(disk)
    await disk.heal()
    await resize(disk, (await disk.sectors()) // 2048)
    before = await content_of(disk)

    for force in (False, True):
        assert CHANGED in (await stock.order(disk, device, force=force)).error

    assert await content_of(disk) == before


async def resize(disk: Disk, mib: int) -> None:
    """Let the kernel see the size that a disk has now."""

    async def seen() -> bool:
        await disk.hand.sh(f"echo 1 > /sys/block/{disk.name}/device/rescan")
        return int(await disk.hand.run("blockdev", "--getsize64", f"/dev/{disk.name}")) == mib << 20

    await eventually(seen, f"{disk.name} has {mib} MiB")


async def test_another_disk_under_the_name_of_the_discovered_one_is_refused_even_by_force(stock: Stock) -> None:
    first, second = await stock.pair()
    device = await stock.device(first)
    await first.pull()

    for force in (False, True):
        assert "is gone" in (await stock.order(first, device, force=force)).error

    assert await second.attach() == device.name
    other = await stock.device(second)
    assert (other.major_minor, other.size) == (device.major_minor, device.size)
    before = await content_of(first), await content_of(second)

    for force in (False, True):
        assert CHANGED in (await stock.order(second, device, force=force)).error

    assert (await content_of(first), await content_of(second)) == before


@dataclass
class Own:
    """A drive with a volume that is in use."""

    disk: Disk
    fsuuid: str
    pod: Pod


async def own_drive(stock: Stock, disk: Disk, volume: str) -> Own:
    node = stock.node(disk)
    made = await stock.order(disk, await stock.device(disk))
    assert made.drive, made.error
    await node.client.make_volume(made.drive.fsuuid, volume)
    pod = Pod(node, volume)
    await pod.start()
    assert (await pod.write("file", "kept")).code == 0
    await disk.hand.run("sync")
    return Own(disk, made.drive.fsuuid, pod)


def copy_content(drive: Disk, copy: Disk) -> None:
    """Let a disk that is not plugged in yet hold what a drive holds that is mounted: its log is not replayed."""
    shutil.copyfile(drive.machine.disks[drive.index], copy.machine.disks[copy.index])


async def looked_into(stock: Stock, disk: Disk) -> Device:
    """Return what discover shows of a disk, once its agent, which mounts it to look, has done so."""

    async def look() -> Device | None:
        device = await stock.device(disk)
        return device if "Mounted" not in device.denied else None

    return await eventually(look, f"{disk.name} is looked into")  # type: ignore[no-any-return]


async def replay_log(disk: Disk) -> None:
    """Do what people are told to do of a drive whose log was not replayed."""
    await disk.hand.sh(f"mount -t xfs -o prjquota /dev/{disk.name} /mnt; umount /mnt")


async def test_a_drive_with_volumes_is_refused_even_by_force_and_goes_on_serving_them(stock: Stock) -> None:
    own = await own_drive(stock, await stock.disk(), "pvc-own")
    device = await stock.device(own.disk)
    assert {USED, "Mounted"} <= set(device.denied)

    for force in (False, True):
        assert USED in (await stock.order(own.disk, device, force=force)).error

    assert (await own.pod.read("file")).out == "kept"
    assert (await own.pod.write("more", "still")).code == 0
    assert (await stock.device(own.disk)).fsuuid == own.fsuuid


async def test_a_copy_of_a_drive_of_this_node_is_refused_even_by_force(stock: Stock) -> None:
    disk, copy = await stock.pair()
    own = await own_drive(stock, disk, "pvc-copied")
    copy_content(disk, copy)
    await copy.attach()
    device = await stock.device(copy)
    assert device.denied == (USED,)
    before = await content_of(copy)

    for force in (False, True):
        assert USED in (await stock.order(copy, device, force=force)).error

    assert await content_of(copy) == before
    assert (await own.pod.read("file")).out == "kept"


async def test_a_drive_of_another_node_needs_force_and_one_that_the_registry_knows_is_refused_even_then(
    stock: Stock,
) -> None:
    there, disk = await stock.pair(apart=True)
    own = (await stock.order(there, await stock.device(there))).drive
    assert own
    await there.hand.run("sync")
    copy_content(there, disk)
    await disk.attach()
    await replay_log(disk)
    device = await looked_into(stock, disk)
    assert (device.needs_force, device.denied) == (True, ())
    before = await content_of(disk)

    assert "looks like a DirectPV drive" in (await stock.order(disk, device)).error
    for force in (False, True):
        assert USED in (await stock.order(disk, device, force=force, registered=(own.fsuuid,))).error

    assert await content_of(disk) == before
    made = await stock.order(disk, device, force=True)
    assert made.drive, made.error
    assert made.drive.fsuuid != own.fsuuid


async def test_a_drive_of_another_node_with_volumes_is_refused_even_by_force_also_if_its_log_alone_has_them(
    stock: Stock,
) -> None:
    there, disk = await stock.pair(apart=True)
    await own_drive(stock, there, "pvc-elsewhere")
    copy_content(there, disk)
    await disk.attach()

    await refused_for(stock, disk, "is a drive of DirectPV")
    await replay_log(disk)
    await refused_for(stock, disk, "holds volumes (pvc-elsewhere)")


async def refused_for(stock: Stock, disk: Disk, why: str) -> None:
    device = await looked_into(stock, disk)
    assert why in "; ".join(device.denied)
    before = await content_of(disk)

    assert "looks like a DirectPV drive" in (await stock.order(disk, device)).error
    assert why in (await stock.order(disk, device, force=True)).error

    assert await content_of(disk) == before
