"""Formatting: a device becomes a drive only if it is still what discover showed; otherwise not one byte changes."""

import asyncio
import functools
import os
import shutil
import subprocess
import tempfile
import uuid

import pytest

from directpv_common.protocol.errors import Busy, DriveFault, FailedPrecondition, InvalidRequest, NotFound
from directpv_common.protocol.messages import FormatDevice
from directpv_nodeagent.devices.core.device_id import device_id
from directpv_nodeagent.devices.core.rules import describe
from directpv_nodeagent.devices.probe import Prober
from directpv_nodeagent.drives.filesystem.mkfs import HELD_SECONDS, exclusive_open, format_device, make_xfs
from directpv_nodeagent.drives.taken import inspection
from integration.nodeagent.faults import shut_down
from support.node_client import eventually

NODE = "n1"
MIB = 1024 * 1024
FSUUID = "8f1c8c7e-0d0a-4b2c-9c3e-2f0f0e6a7b11"


@pytest.fixture
def prober(bare):
    return lambda *devices: Prober(tuple(device.name for device in devices), roots=bare)


async def discover(prober, device, *, force=False):
    """Return the request that a person makes who took the device from discover's file."""
    facts = await asyncio.to_thread(prober.probe_one, device.name)
    return FormatDevice(id=device_id(facts, NODE), name=facts.name, force=force)


async def format_it(prober, request, *, registered=(), own=(), fsuuid=FSUUID):
    with tempfile.TemporaryDirectory() as root:
        volumes_on = functools.partial(inspection.volumes_on, root)
        return await format_device(
            prober, NODE, request, registered=registered, own=own, fsuuid=fsuuid, volumes_on=volumes_on
        )


def xfs_field(device, field):
    out = subprocess.run(
        ["xfs_db", "-r", "-c", "sb 0", "-c", f"p {field}", device.path], capture_output=True, text=True
    )
    return out.stdout.split("=")[1].strip()


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


async def test_data_that_is_written_between_check_and_format_is_not_destroyed(loop, bare):
    device = loop()

    class Raced(Prober):
        def probe_number(self, number):
            facts = super().probe_number(number)
            device.write(150 * MIB, b"new")
            return facts

    mine = Raced((device.name,), roots=bare)
    with pytest.raises(FailedPrecondition, match="device state changed: something was written"):
        await format_it(mine, await discover(mine, device))


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


async def test_a_drive_made_over_an_old_mirror_member_is_no_member_any_more(loop, prober, leave):
    device = loop()
    leave("xfs", device)
    leave("mirror", device)
    mine = prober(device)
    made = await format_it(mine, await discover(mine, device, force=True))
    facts = mine.probe_one(device.name)
    assert (facts.superblock, facts.signatures) == (made, ("xfs",))


async def test_a_mounted_device_is_refused_even_by_force(loop, prober, leave, mounted):
    device = loop()
    leave("ext4", device)
    mounted(device.path, "-o", "ro,noload")
    mine, before = prober(device), device.fingerprint()
    with pytest.raises(FailedPrecondition, match=r"^device init not permitted; Mounted$"):
        await format_it(mine, await discover(mine, device, force=True))
    assert device.fingerprint() == before


async def test_a_device_that_is_mounted_after_discover_is_refused(loop, prober, leave, mounted):
    device = loop()
    leave("ext4", device)
    mine = prober(device)
    request = await discover(mine, device, force=True)
    mounted(device.path, "-o", "ro,noload")
    before = device.fingerprint()
    with pytest.raises(FailedPrecondition, match=r"device state changed.*discover again"):
        await format_it(mine, request)
    assert device.fingerprint() == before


async def test_a_device_that_something_was_written_to_after_discover_is_refused(loop, prober, leave):
    device = loop()
    mine = prober(device)
    request = await discover(mine, device, force=True)
    leave("crypto_LUKS", device)
    before = device.fingerprint()
    with pytest.raises(FailedPrecondition, match="device state changed"):
        await format_it(mine, request)
    assert device.fingerprint() == before


async def test_a_device_that_something_is_written_to_between_check_and_format_is_refused(loop, bare, leave):
    device = loop()

    class Raced(Prober):
        def probe_number(self, number):
            facts = super().probe_number(number)
            leave("ext4", device)
            return facts

    mine = Raced((device.name,), roots=bare)
    with pytest.raises(FailedPrecondition, match="device state changed: something was written"):
        await format_it(mine, await discover(mine, device, force=True))
    subprocess.run(["fsck.ext4", "-fn", device.path], check=True, capture_output=True)


async def test_mkfs_itself_refuses_what_nobody_forced(loop, leave):
    device = loop()
    leave("ext4", device)
    before = device.fingerprint()
    with pytest.raises(DriveFault, match="existing filesystem"):
        await make_xfs(device.path, FSUUID, force=False)
    assert device.fingerprint() == before


async def test_a_device_that_another_program_holds_is_refused(loop, prober):
    device = loop()
    mine, before = prober(device), device.fingerprint()
    request = await discover(mine, device)
    holder = os.open(device.path, os.O_RDONLY | os.O_EXCL)
    try:
        with pytest.raises(FailedPrecondition, match="in use by the kernel"):
            await format_it(mine, request)
    finally:
        os.close(holder)
    assert device.fingerprint() == before


@pytest.mark.parametrize("content", [None, "ext4"], ids=["blank", "forced"])
async def test_a_device_that_is_held_for_a_moment_is_formatted_all_the_same(loop, leave, prober, content):
    device = loop()
    if content:
        leave(content, device)
    mine = prober(device)
    request = await discover(mine, device, force=content is not None)
    holder = os.open(device.path, os.O_RDONLY | os.O_EXCL)
    asyncio.get_running_loop().call_later(HELD_SECONDS / 3, os.close, holder)

    assert (await format_it(mine, request)).fsuuid


async def test_what_others_make_of_a_device_while_they_hold_it_is_not_overwritten(loop, leave, tmp_path, monkeypatch):
    device, other = loop(), loop()
    leave("ext4", other)
    holder = os.open(device.path, os.O_RDONLY | os.O_EXCL)
    ended = told_when_mkfs_ends(tmp_path, monkeypatch)
    making = asyncio.create_task(make_xfs(device.path, FSUUID, force=True))

    async def was_tried():
        return "failed" in ended.read_text()

    try:
        await eventually(was_tried, "it was tried while others hold the device")
        copy = ["dd", f"if={other.path}", f"of={device.path}", "bs=1M", "conv=fsync", "status=none"]
        subprocess.run(copy, check=True)
    finally:
        os.close(holder)

    with pytest.raises(DriveFault, match=r"existing filesystem|busy"):  # busy: it was held for too long
        await making
    assert device.fingerprint() == other.fingerprint()


@pytest.mark.parametrize("content", [None, "ext4"], ids=["blank", "forced"])
async def test_what_others_write_that_has_no_signature_is_not_overwritten_either(
    loop, leave, prober, tmp_path, monkeypatch, content
):
    device = loop()
    if content:
        leave(content, device)
    mine = prober(device)
    request = await discover(mine, device, force=content is not None)
    begun, go = tmp_path / "begun", tmp_path / "go"
    ended = told_when_mkfs_ends(tmp_path, monkeypatch, f"touch {begun}; while [ ! -e {go} ]; do sleep 0.01; done")
    making = asyncio.create_task(format_it(mine, request))

    async def was_begun():
        return begun.exists()

    async def was_tried():
        return "failed" in ended.read_text()

    await eventually(was_begun, "mkfs.xfs is called, and has not opened the device")
    holder = os.open(device.path, os.O_RDWR | os.O_EXCL)
    try:
        go.touch()
        await eventually(was_tried, "it was tried while others hold the device")
        os.pwrite(holder, os.urandom(4 * MIB), 0)
        os.fsync(holder)
    finally:
        os.close(holder)
    before = device.fingerprint()

    with pytest.raises((FailedPrecondition, DriveFault), match=r"something was written|busy"):  # busy: it took too long
        await making
    assert device.fingerprint() == before


def told_when_mkfs_ends(tmp_path, monkeypatch, first=":"):
    """Let each end of the real mkfs.xfs be noted in a file; ``first`` is done before it makes anything."""
    ended, program = tmp_path / "ended", tmp_path / "bin/mkfs.xfs"
    program.parent.mkdir()
    ended.touch()
    real = shutil.which("mkfs.xfs")
    waits = f'[ "$1" = -V ] || {{ {first}; }}'
    program.write_text(f'#!/bin/sh\n{waits}\n{real} "$@" || {{ status=$?; echo failed >> {ended}; exit $status; }}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return ended


def test_an_exclusive_open_is_refused_for_a_mounted_device_and_keeps_others_out(loop, leave, mounted):
    device = loop()
    leave("xfs", device)
    with exclusive_open(device.path), pytest.raises(FailedPrecondition), exclusive_open(device.path):
        pass
    mounted(device.path)
    with pytest.raises(FailedPrecondition), exclusive_open(device.path):
        pass


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


async def test_a_drive_of_another_installation_is_called_by_its_name_and_needs_force(loop, prober):
    device = loop()
    mine = prober(device)
    await format_it(mine, await discover(mine, device))
    facts = mine.probe_one(device.name)
    assert describe(facts, NODE, registered=(), own=()).fs_type == "xfs (looks like a DirectPV drive)"
    with pytest.raises(FailedPrecondition, match="looks like a DirectPV drive"):
        await format_it(mine, await discover(mine, device))


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
    await asyncio.to_thread(subprocess.run, ["udevadm", "settle"], check=True)
    facts = mine.probe_one(device.name)
    assert facts.udev["E:ID_FS_UUID"] == FSUUID
    assert device_id(facts, NODE) != request.id
    assert describe(facts, NODE, registered={FSUUID}, own=()).denied == ("Used by DirectPV",)
