"""Blank is what nobody uses and what reads as zeros, not what has no label: everything else needs a decision."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from directpv_common.protocol.api import Node
from directpv_common.protocol.messages import Empty
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.core.rules import denials, describe
from directpv_nodeagent.devices.core.signatures import UNKNOWN
from directpv_nodeagent.devices.probe import Prober
from directpv_nodeagent.devices.sysfs import Roots
from integration.nodeagent.blocks import SIZE, Loop
from integration.nodeagent.harness import AgentProcess, Loops
from support.node_client import Client

MIB = 1024 * 1024
FSUUID = "8f1c8c7e-0d0a-4b2c-9c3e-2f0f0e6a7b11"
Look = Callable[[Loop], DeviceFacts]


def denied(facts: DeviceFacts, registered: tuple[str, ...] = ()) -> tuple[str, ...]:
    return denials(facts, registered=registered, own=())


@pytest.mark.parametrize("offset", [100 * 1024, MIB - 1, SIZE - MIB, SIZE - 1, SIZE // 4, SIZE // 65 * 40])
def test_data_that_nobody_recognises_needs_force_wherever_it_is_found(
    loop: Callable[..., Loop], look: Look, offset: int
) -> None:
    device = loop()
    device.write(offset, b"\x01")
    shown = describe(look(device), "n1", registered=(), own=())
    assert (shown.fs_type, shown.needs_force, shown.denied) == (UNKNOWN, True, ())


@pytest.mark.parametrize("more", [512, 3584])
def test_the_last_bytes_of_a_device_count_too_if_its_size_is_no_whole_number_of_blocks(
    loop: Callable[..., Loop], look: Look, more: int
) -> None:
    device = loop(SIZE + more)
    assert look(device).signatures == ()
    device.write(SIZE + more - 1, b"\x01")
    assert look(device).signatures == (UNKNOWN,)


def test_data_all_over_a_device_is_found_though_both_ends_are_blank(loop: Callable[..., Loop], look: Look) -> None:
    device = loop()
    for part in range(4):
        device.write(MIB + part * SIZE // 4 + 12345 * part, b"x" * (SIZE // 8))
    assert look(device).signatures == (UNKNOWN,)


def test_a_drive_whose_start_was_overwritten_is_known_by_its_backup_super_blocks(
    loop: Callable[..., Loop], look: Look
) -> None:
    device = loop()
    subprocess.run(["mkfs.xfs", "-q", "-m", f"uuid={FSUUID}", "-L", "DIRECTPV", device.path], check=True)
    device.write(0, bytes(64 * 1024))
    facts = look(device)
    shown = describe(facts, "n1", registered=(), own=())
    assert (shown.fsuuid, shown.needs_force) == (FSUUID, True)
    assert "backup super blocks say DIRECTPV" in shown.fs_type
    assert denied(facts) == ()
    assert denied(facts, registered=(FSUUID,)) == ("Used by DirectPV",)


def test_a_scan_reads_no_samples(loop: Callable[..., Loop], bare: Roots) -> None:
    device = loop()
    device.write(SIZE // 4, b"\x01")
    (seen,) = Prober((device.name,), roots=bare).probe()
    assert (seen.signatures, seen.users) == ((), ())
    (shown,) = Prober((device.name,), roots=bare).probe(thorough=True)
    assert shown.signatures == (UNKNOWN,)


@pytest.fixture
def raw_volume(tmp_path: Path) -> Iterator[Callable[[Loop], Path]]:
    """Show a device's file at another path, as kubelet does for a raw block volume."""
    target = tmp_path / "plugins/volumeDevices/pvc-1/dev"
    target.parent.mkdir(parents=True)
    target.touch()

    def mount(device: Loop) -> Path:
        subprocess.run(["mount", "--bind", device.path, str(target)], check=True)
        return target

    try:
        yield mount
    finally:
        subprocess.run(["umount", str(target)], check=False, capture_output=True)


def test_a_raw_block_volume_of_a_pod_is_in_use(
    loop: Callable[..., Loop], look: Look, raw_volume: Callable[[Loop], Path]
) -> None:
    device = loop()
    place = raw_volume(device)
    assert denied(look(device)) == (f"Used as raw block volume at {place}",)


def test_a_device_behind_a_loop_device_is_in_use(loop: Callable[..., Loop], look: Look) -> None:
    device = loop()
    lock = subprocess.run(
        ["losetup", "--find", "--show", device.path], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        assert denied(look(device)) == (f"Used as loop device {os.path.basename(lock)}",)
    finally:
        subprocess.run(["losetup", "--detach", lock], check=True)


async def test_who_asks_again_while_disks_are_read_gets_the_answer_of_the_first_look(
    agent: AgentProcess, loops: Loops, client: Client
) -> None:
    """A look at slow disks takes longer than one attempt of who asks."""
    names = [loops.make() for _ in range(8)]
    agent.start(*names)
    await agent.answers(client)

    found = await client.bus.call(Node.DEVICE_LIST, Empty(), node=client.node, within=30, attempt=0.03)

    assert {device.name for device in found.devices} == set(names)
