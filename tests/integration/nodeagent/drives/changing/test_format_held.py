"""Formatting a device that others hold, mount or write to meanwhile: not one byte of theirs changes."""

import asyncio
import os
import shutil
import subprocess

import pytest

from directpv_common.protocol.errors import DriveFault, FailedPrecondition
from directpv_nodeagent.devices.probe import Prober
from directpv_nodeagent.devices.signatures import HELD_SECONDS
from directpv_nodeagent.drives.filesystem.mkfs import exclusive_open, make_xfs
from integration.nodeagent.drives.changing.formatting import FSUUID, MIB, discover, format_it
from support.node_client import eventually


@pytest.fixture
def prober(bare):
    return lambda *devices: Prober(tuple(device.name for device in devices), roots=bare)


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
