"""What formatting destroys only by force, and what not even then."""

import os
import subprocess
import uuid

import pytest

from directpv_common.protocol.errors import FailedPrecondition
from directpv_nodeagent.devices.core.rules import describe
from directpv_nodeagent.devices.probe import Prober
from integration.nodeagent.drives.changing.formatting import FSUUID, MIB, NODE, discover, format_it
from integration.nodeagent.faults import shut_down


@pytest.fixture
def prober(bare):
    return lambda *devices: Prober(tuple(device.name for device in devices), roots=bare)


async def test_no_force_destroys_a_drive_that_holds_volumes_whosever_it_is(loop, prober, mounted):
    device = loop()
    mine = prober(device)
    await format_it(mine, await discover(mine, device))
    place = mounted(device.path, "-o", "noatime")
    os.mkdir(f"{place}/pvc-1")
    subprocess.run(["umount", place], check=True)
    before = device.fingerprint()
    with pytest.raises(FailedPrecondition, match=r"holds volumes \(pvc-1\).*wipefs --all"):
        await format_it(mine, await discover(mine, device, force=True), fsuuid=str(uuid.uuid4()))
    assert device.fingerprint() == before


async def test_no_force_destroys_a_drive_whose_volumes_may_be_in_its_log_alone(loop, prober, mounted):
    device = loop()
    mine = prober(device)
    await format_it(mine, await discover(mine, device))
    place = mounted(device.path, "-o", "noatime")
    os.mkdir(f"{place}/pvc-1")
    shut_down(place, flush_log=True)  # as after a power failure: all that was synced is in the log
    subprocess.run(["umount", place], check=True)
    before = device.fingerprint()
    with pytest.raises(FailedPrecondition, match=r"cannot be seen: its log was not replayed.*mount -t xfs.*wipefs"):
        await format_it(mine, await discover(mine, device, force=True), fsuuid=str(uuid.uuid4()))
    assert device.fingerprint() == before

    place = mounted(device.path, "-o", "noatime")
    subprocess.run(["umount", place], check=True)
    with pytest.raises(FailedPrecondition, match=r"holds volumes \(pvc-1\)"):
        await format_it(mine, await discover(mine, device, force=True), fsuuid=str(uuid.uuid4()))


async def test_a_drive_of_another_installation_that_holds_no_volume_is_formatted_by_force(loop, prober):
    device = loop()
    mine = prober(device)
    await format_it(mine, await discover(mine, device))
    again = str(uuid.uuid4())
    assert (await format_it(mine, await discover(mine, device, force=True), fsuuid=again)).fsuuid == again


async def test_nothing_foreign_is_overwritten_without_force(loop, prober, left):
    kind, put = left
    device = loop()
    put(device)
    mine, before = prober(device), device.fingerprint()
    with pytest.raises(FailedPrecondition, match=rf"device init not permitted; .*carries .*{kind}"):
        await format_it(mine, await discover(mine, device))
    assert device.fingerprint() == before


async def test_data_of_unknown_kind_is_overwritten_only_by_force(loop, prober):
    device = loop()
    device.write(150 * MIB, b"raw data of somebody else's application")
    mine, before = prober(device), device.fingerprint()
    with pytest.raises(FailedPrecondition, match=r"device init not permitted; .*carries data of unknown kind"):
        await format_it(mine, await discover(mine, device))
    assert device.fingerprint() == before
    assert (await format_it(mine, await discover(mine, device, force=True))).fsuuid == FSUUID


@pytest.mark.parametrize("kind", ["data of unknown kind", "ext4", "xfs"])
async def test_what_was_written_to_since_it_was_discovered_is_not_overwritten_even_by_force(loop, prober, leave, kind):
    device = loop()
    if kind == "data of unknown kind":
        device.write(0, b"raw data of somebody else's application")
    else:
        leave(kind, device)
    mine = prober(device)
    request = await discover(mine, device, force=True)
    device.write(40 * 1024, b"what the application wrote after discover")
    before = device.fingerprint()

    with pytest.raises(FailedPrecondition, match=r"^device state changed: .* run discover again"):
        await format_it(mine, request)

    assert device.fingerprint() == before
    assert (await format_it(mine, await discover(mine, device, force=True))).fsuuid == FSUUID


async def test_a_raw_block_volume_is_not_formatted_even_by_force(loop, prober, tmp_path):
    device = loop()
    mine, before = prober(device), device.fingerprint()
    target = tmp_path / "volumeDevices"
    target.touch()
    request = await discover(mine, device, force=True)
    subprocess.run(["mount", "--bind", device.path, target], check=True)
    try:
        with pytest.raises(FailedPrecondition, match="device init not permitted; Used as raw block volume"):
            await format_it(mine, request)
    finally:
        subprocess.run(["umount", target], check=True)
    assert device.fingerprint() == before


async def test_force_overwrites_what_was_shown(loop, prober, left):
    _, put = left
    device = loop()
    put(device)
    mine = prober(device)
    made = await format_it(mine, await discover(mine, device, force=True))
    assert made.fsuuid == FSUUID


async def test_a_mounted_device_is_refused_even_by_force(loop, prober, leave, mounted):
    device = loop()
    leave("ext4", device)
    mounted(device.path, "-o", "ro,noload")
    mine, before = prober(device), device.fingerprint()
    with pytest.raises(FailedPrecondition, match=r"^device init not permitted; Mounted$"):
        await format_it(mine, await discover(mine, device, force=True))
    assert device.fingerprint() == before


async def test_a_drive_of_another_installation_is_called_by_its_name_and_needs_force(loop, prober):
    device = loop()
    mine = prober(device)
    await format_it(mine, await discover(mine, device))
    facts = mine.probe_one(device.name)
    assert describe(facts, NODE, registered=(), own=()).fs_type == "xfs (looks like a DirectPV drive)"
    with pytest.raises(FailedPrecondition, match="looks like a DirectPV drive"):
        await format_it(mine, await discover(mine, device))
