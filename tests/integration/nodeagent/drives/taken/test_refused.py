"""A drive that the kernel will not mount: after a restart, too, it is shown with the reason and with what to do."""

import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from directpv_common.bus.cloud_event import CloudEvent
from directpv_common.protocol.messages import DriveStatus, HeldDrive
from integration.nodeagent.faults import is_ready
from integration.nodeagent.harness import AgentProcess, Loops, run, unmount, wait_until
from integration.nodeagent.serving.test_telling import gather
from support.node_client import Client, eventually

UNKNOWN_FEATURE = 0x4000_0000
HOLD = "import os, sys, time; os.open(sys.argv[1], os.O_RDWR | os.O_EXCL); print('held', flush=True); time.sleep(600)"


def reattach(loops: Loops, device: str, *options: str) -> None:
    """Show the disk as a device with other properties, under its old name."""
    path = loops.attached[device]
    run("losetup", "--detach", f"/dev/{device}")
    wait_until(lambda: not Path(f"/sys/block/{device}/loop").exists(), "it is detached")
    wait_until(lambda: _attached(device, path, *options), "it is attached")
    run("udevadm", "settle", "--timeout=45")


def _attached(device: str, path: Path, *options: str) -> bool:
    command = ("losetup", *options, f"/dev/{device}", str(path))
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


@contextmanager
def larger_sectors(loops: Loops, device: str) -> Iterator[str]:
    reattach(loops, device, "--sector-size", "4096")
    yield "sectors of another size"
    reattach(loops, device)


@contextmanager
def write_protected(loops: Loops, device: str) -> Iterator[str]:
    reattach(loops, device, "--read-only")
    yield "write-protected"
    reattach(loops, device)


@contextmanager
def unknown_feature(loops: Loops, device: str) -> Iterator[str]:
    """As a later kernel would leave it; xfs_db refuses to write that. Offsets: struct xfs_dsb, linux/xfs_format.h."""
    with open(f"/dev/{device}", "r+b", buffering=0) as disk:
        before = disk.read(512)
        (features,) = struct.unpack_from(">I", before, 216)
        changed = bytearray(before)
        struct.pack_into(">I", changed, 216, features | UNKNOWN_FEATURE)
        struct.pack_into("<I", changed, 224, 0)
        struct.pack_into("<I", changed, 224, crc32c(changed))
        os.pwrite(disk.fileno(), changed, 0)
        os.fsync(disk.fileno())
        yield "do not repair it here"
        os.pwrite(disk.fileno(), before, 0)
        os.fsync(disk.fileno())


def crc32c(data: bytes) -> int:
    """The checksum of XFS (RFC 3720, appendix B.4)."""
    crc = 0xFFFF_FFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F6_3B78 if crc & 1 else 0)
    return crc ^ 0xFFFF_FFFF


@contextmanager
def held_by_a_program(loops: Loops, device: str) -> Iterator[str]:
    command = [sys.executable, "-c", HOLD, f"/dev/{device}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            yield f"{process.pid} ("
        finally:
            process.kill()


REASONS = {
    larger_sectors: "sector",
    write_protected: "the device is read-only",
    unknown_feature: "unknown",
    held_by_a_program: "the device is in use by ",
}


@pytest.mark.parametrize("fault", REASONS, ids=lambda fault: fault.__name__)
async def test_a_drive_that_the_kernel_refuses_is_shown_with_its_reason_and_the_right_advice_until_it_is_mounted(
    agent: AgentProcess, loops: Loops, device: str, drive: str, client: Client, fault: object
) -> None:
    if fault is not held_by_a_program and not os.access("/dev/kmsg", os.R_OK):
        pytest.skip("the kernel's log cannot be read here, and with it the reason")
    heard: list[CloudEvent] = await gather(client.bus, client.bus.subjects.all_events, CloudEvent)
    await client.make_volume(drive, "pvc-1")
    agent.kill(signal.SIGKILL)
    unmount(agent.root / "mnt" / drive)

    with fault(loops, device) as advice:  # type: ignore[operator]
        agent.start(device)

        held = await client.drive_when(drive, lambda held: held.record.status is DriveStatus.ERROR, "it is in Error")

        (condition,) = held.record.conditions
        assert REASONS[fault] in condition.message  # type: ignore[index]
        assert "repair" not in condition.message
        assert (held.record.device, held.readable, held.record.node) == (device, False, "n1")
        event = (await eventually(lambda: _errors_of(heard, drive), "it is told"))[-1]
        assert advice in f"{event.data['cause']} {event.data['advice']}"
        assert "kubectl directpv repair" not in event.data["advice"]

    await client.drive_when(drive, _is_whole, "it is mounted when the cause is gone")


async def test_a_drive_whose_super_block_is_gone_is_shown_as_what_it_was_after_a_restart(
    agent: AgentProcess, device: str, drive: str, client: Client
) -> None:
    await client.make_volume(drive, "pvc-1")
    agent.kill(signal.SIGKILL)
    unmount(agent.root / "mnt" / drive)
    disk = Path(f"/dev/{device}")
    with disk.open("r+b", buffering=0) as raw:
        before = raw.read(512)
        os.pwrite(raw.fileno(), bytes(512), 0)
        os.fsync(raw.fileno())
    agent.start(device)

    held = await client.drive_when(drive, lambda held: held.record.status is DriveStatus.ERROR, "it is in Error")

    assert "super block" in held.record.conditions[0].message
    assert (held.record.device, held.readable, held.record.node) == (device, False, "n1")
    with disk.open("r+b", buffering=0) as raw:
        os.pwrite(raw.fileno(), before, 0)
        os.fsync(raw.fileno())
    await client.drive_when(drive, _is_whole, "it is mounted when its super block is back")


@pytest.mark.parametrize("becomes", ["mounted as something else", "blank"])
async def test_a_disk_that_became_something_else_meanwhile_is_no_drive_after_a_restart(
    agent: AgentProcess, loops: Loops, device: str, drive: str, client: Client, tmp_path: Path, becomes: str
) -> None:
    other, place = loops.make(), tmp_path / "theirs"
    agent.kill(signal.SIGKILL)
    agent.start(device, other)
    await agent.answers(client)
    beside = await client.make_drive(other)
    agent.kill(signal.SIGKILL)
    unmount(agent.root / "mnt" / drive)
    if becomes == "blank":
        run("blkdiscard", "--zeroout", f"/dev/{device}")
    else:
        run("mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=1", f"/dev/{device}")
        place.mkdir()
        run("mount", f"/dev/{device}", str(place))
    try:
        agent.start(device, other)
        await client.drive_when(beside, is_ready, "all devices were looked at")

        assert [held.record.fsuuid for held in (await client.inventory()).drives] == [beside]
        assert "drive cannot be used" not in agent.log_text()
    finally:
        if becomes != "blank":
            unmount(place)


def _is_whole(held: HeldDrive) -> bool:
    return is_ready(held) and [volume.record.name for volume in held.volumes] == ["pvc-1"]


async def test_a_drive_that_went_to_another_node_is_not_remembered(
    agent: AgentProcess, device: str, drive: str, client: Client
) -> None:
    agent.kill(signal.SIGKILL)
    record = agent.root / "mnt" / drive / ".directpv/drive.json"
    record.write_text(record.read_text().replace('"n1"', '"n2"'))
    unmount(agent.root / "mnt" / drive)
    agent.start(device)
    await eventually(lambda: _said(agent, "belongs to node n2"), "it is seen to be another node's")

    assert (await client.inventory()).drives == ()
    assert list((agent.root / "known").iterdir()) == []


async def _said(agent: AgentProcess, text: str) -> bool:
    return text in agent.log_text()


async def test_a_drive_that_nobody_knows_yet_is_told_of_once_with_its_reason(
    agent: AgentProcess, loops: Loops, device: str, drive: str, client: Client
) -> None:
    heard: list[CloudEvent] = await gather(client.bus, client.bus.subjects.all_events, CloudEvent)
    agent.kill(signal.SIGKILL)
    unmount(agent.root / "mnt" / drive)
    shutil.rmtree(agent.root / "known")  # as an earlier version left it

    with held_by_a_program(loops, device) as holder:
        agent.start(device)
        await agent.answers(client)
        told = await eventually(lambda: _errors_of(heard, drive), "it is told")
        scans = agent.log_text().count("drive cannot be used")

    await client.drive_when(drive, is_ready, "it is mounted when the cause is gone")
    assert (holder in told[0].data["cause"], scans) == (True, 1)
    causes = [event.data["cause"] for event in await _errors_of(heard, drive)]
    assert len(causes) == len(set(causes)), "the holder that dies is another cause, if it is seen"


async def _errors_of(heard: list[CloudEvent], drive: str) -> list[CloudEvent]:
    return [event for event in heard if event.type.endswith(".drive.error") and event.subject == drive]
