"""Formatting: a device becomes a drive only if it is still what discover showed; otherwise not one byte changes."""

import asyncio
import os
import subprocess
import uuid

import pytest

from directpv_common.protocol.errors import Busy, FailedPrecondition, InvalidRequest, NotFound
from directpv_common.protocol.messages import FormatDevice
from directpv_nodeagent.devices.core.device_id import device_id
from directpv_nodeagent.devices.core.rules import describe
from directpv_nodeagent.devices.probe import Prober
from integration.nodeagent.drives.changing.formatting import FSUUID, MIB, NODE, discover, format_it, xfs_field
from integration.nodeagent.harness import wait_until


@pytest.fixture
def prober(bare):
    return lambda *devices: Prober(tuple(device.name for device in devices), roots=bare)


async def test_a_blank_device_becomes_a_drive(loop, prober, mounted):
    device = loop()
    mine = prober(device)
    made = await format_it(mine, await discover(mine, device))
    assert (made.fsuuid, made.label, made.total) == (FSUUID, "DIRECTPV", 600 * MIB)
    assert xfs_field(device, "imax_pct") == "50"
    assert os.path.ismount(mounted(device.path, "-o", "noatime"))


async def test_a_formatted_device_is_not_formatted_again_by_the_same_request(loop, prober):
    device = loop()
    mine = prober(device)
    request = await discover(mine, device, force=True)
    await format_it(mine, request)
    before = device.fingerprint()
    with pytest.raises(FailedPrecondition, match="device state changed"):
        await format_it(mine, request, fsuuid=str(uuid.uuid4()))
    assert device.fingerprint() == before


async def test_a_drive_made_over_an_old_mirror_member_is_no_member_any_more(loop, prober, leave):
    device = loop()
    leave("xfs", device)
    leave("mirror", device)
    mine = prober(device)
    made = await format_it(mine, await discover(mine, device, force=True))
    facts = mine.probe_one(device.name)
    assert (facts.superblock, facts.signatures) == (made, ("xfs",))


@pytest.mark.parametrize("which", ["registered", "own"])
async def test_a_drive_is_never_formatted_again(loop, prober, which):
    device = loop()
    mine = prober(device)
    await format_it(mine, await discover(mine, device))
    before = device.fingerprint()
    request = await discover(mine, device, force=True)
    with pytest.raises(FailedPrecondition, match="device init not permitted; Used by DirectPV"):
        await format_it(mine, request, **{which: {FSUUID}}, fsuuid=str(uuid.uuid4()))
    assert device.fingerprint() == before


async def test_a_read_only_device_is_refused(loop, prober):
    device = loop(600 * MIB, "--read-only")
    mine, before = prober(device), device.fingerprint()
    with pytest.raises(FailedPrecondition, match="Read only"):
        await format_it(mine, await discover(mine, device, force=True))
    assert device.fingerprint() == before


async def test_a_device_that_is_too_small_is_refused(loop, prober):
    device = loop(400 * MIB)
    mine, before = prober(device), device.fingerprint()
    with pytest.raises(FailedPrecondition, match="Too small"):
        await format_it(mine, await discover(mine, device, force=True))
    assert device.fingerprint() == before


async def test_a_device_that_was_replaced_by_another_is_refused(loop, prober):
    device = loop()
    mine = prober(device)
    request = await discover(mine, device)
    device.detach()
    device.attach()
    before = device.fingerprint()
    with pytest.raises(FailedPrecondition, match="device state changed"):
        await format_it(mine, request)
    assert device.fingerprint() == before


async def test_a_device_that_is_gone_is_not_found(loop, prober):
    device = loop()
    mine = prober(device)
    request = await discover(mine, device)
    device.detach()
    with pytest.raises(NotFound, match="device not found"):
        await format_it(mine, request)


async def test_a_device_that_the_agent_may_not_touch_is_not_found(loop, prober):
    mine, other = loop(), loop()
    before = other.fingerprint()
    request = await discover(prober(other), other)
    with pytest.raises(NotFound, match="device not found"):
        await format_it(prober(mine), request)
    assert other.fingerprint() == before


@pytest.mark.parametrize("identity", ["", "7:0", "$", "x$y", "7:0/../..$x", "\0$\0"])
async def test_what_is_no_device_id_is_refused_by_the_name_of_its_field(loop, prober, identity):
    with pytest.raises(InvalidRequest) as caught:
        await format_it(prober(loop()), FormatDevice(id=identity, name="x"))
    assert caught.value.details == {"field": "id"}


async def test_one_of_two_requests_for_a_device_at_once_formats_it(loop, prober, leave):
    device = loop()
    leave("ext4", device)
    mine = prober(device)
    request = await discover(mine, device, force=True)
    uuids = [str(uuid.uuid4()), str(uuid.uuid4())]
    results = await asyncio.gather(
        *(format_it(mine, request, fsuuid=fsuuid) for fsuuid in uuids), return_exceptions=True
    )
    assert [type(result) for result in results].count(Busy) == 1
    made = next(result for result in results if not isinstance(result, Busy))
    assert mine.probe_one(device.name).superblock == made
    assert made.fsuuid in uuids


async def test_devices_are_formatted_at_the_same_time(loop, prober):
    devices = [loop(), loop(), loop()]
    mine = prober(*devices)
    requests = [await discover(mine, device) for device in devices]
    uuids = [str(uuid.uuid4()) for _ in devices]
    made = await asyncio.gather(*(format_it(mine, r, fsuuid=u) for r, u in zip(requests, uuids, strict=True)))
    assert [superblock.fsuuid for superblock in made] == uuids


async def test_with_udev_a_device_goes_from_discover_to_drive_and_is_known_as_one_afterwards(loop, udevd):
    device = loop()
    mine = Prober((device.name,))
    await asyncio.to_thread(subprocess.run, ["udevadm", "settle"], check=True)
    request = await discover(mine, device)
    await format_it(mine, request)
    # udevadm settle would not do: udev hears of who wrote some time after that, and until then has nothing to work on
    known = lambda: mine.probe_one(device.name).udev.get("E:ID_FS_UUID") == FSUUID  # noqa: E731
    await asyncio.to_thread(wait_until, known, "udev knows the file system")
    facts = mine.probe_one(device.name)
    assert device_id(facts, NODE) != request.id
    assert describe(facts, NODE, registered={FSUUID}, own=()).denied == ("Used by DirectPV",)
