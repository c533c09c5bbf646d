"""Several devices that are one disk, as paths to it without multipath are: one of them is a drive, once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from directpv_common.protocol.api import Node
from directpv_common.protocol.messages import Device, Empty
from directpv_nodeagent.devices.core.rules import denials
from directpv_nodeagent.devices.probe import Prober
from directpv_nodeagent.devices.sysfs import Roots
from directpv_nodeagent.drives.core.standing import candidates
from integration.nodeagent.blocks import Loop, sh
from integration.nodeagent.faults import is_ready
from integration.nodeagent.harness import AgentProcess, Loops, unmount_below
from support.node_client import Client

FSUUID = "8f1c8c7e-0d0a-4b2c-9c3e-2f0f0e6a7b11"


async def devices(client: Client) -> dict[str, Device]:
    return {device.name: device for device in (await client.ask(Node.DEVICE_LIST, Empty())).devices}


@pytest.fixture
def paths(loops: Loops) -> tuple[str, str]:
    """Two loop devices over one file; the one whose name the kernel would give first comes first."""
    one = loops.make()
    two = loops.attach(loops.attached[one])
    first, second = sorted((one, two), key=lambda name: (len(name), name))
    return first, second


async def test_one_disk_is_formatted_once_whatever_path_is_asked_for(
    agent: AgentProcess, paths: tuple[str, str], client: Client
) -> None:
    first, second = paths
    agent.start(*paths)
    await agent.answers(client)
    shown = await devices(client)
    assert shown[first].denied == ()
    assert shown[second].denied == (f"Another path to the disk of {first}; set up multipath, or use that one",)

    one, two = await client.format(second, first)
    assert one.drive is None
    other, changed = f"Another path to the disk of {first}", "device state changed"  # who comes late finds it changed
    assert other in one.error or changed in one.error
    assert two.drive is not None


async def test_a_drive_with_two_paths_is_well_and_is_mounted_through_the_other_when_one_goes(
    agent: AgentProcess, loops: Loops, paths: tuple[str, str], client: Client, pods: Path
) -> None:
    first, second = paths
    agent.start(*paths)
    await agent.answers(client)
    fsuuid = await client.make_drive(first)
    await client.make_volume(fsuuid, "pvc-1")
    for _ in range(2):
        agent.kill()
        agent.start(*paths)
        held = await client.drive_when(fsuuid, is_ready, "it is well")
        assert (held.record.device, held.record.conditions) == (first, ())
    agent.kill()
    unmount_below(agent.root)
    loops.detach(first)
    agent.start(*paths)
    held = await client.drive_when(fsuuid, is_ready, "it is well through the other path")
    assert held.record.device == second
    await client.stage("pvc-1", pods / "s")


@pytest.mark.parametrize("says", ["E:DM_MULTIPATH_DEVICE_PATH=1", "E:ID_FS_TYPE=mpath_member", "E:SYSTEMD_READY=0"])
def test_what_udev_calls_part_of_something_else_is_no_drives_device_unless_the_drive_is_mounted_from_it(
    loop: Callable[..., Loop], mounted: Callable[..., Path], tmp_path: Path, says: str
) -> None:
    device = loop()
    sh("mkfs.xfs", "-q", "-m", f"uuid={FSUUID}", "-L", "DIRECTPV", device.path)
    udev = tmp_path / "udev"
    udev.mkdir()
    (udev / f"b7:{device.minor}").write_text(f"I:1\n{says}\n")
    prober = Prober((device.name,), roots=Roots(udev=udev))

    (facts,) = prober.probe()
    assert candidates([facts], {}) == {}
    assert candidates([facts], {FSUUID: ""}) == {}
    assert any(reason.startswith("Not ready: ") for reason in denials(facts, registered=(), own=()))

    place = tmp_path / "mnt" / FSUUID
    place.mkdir(parents=True)
    sh("mount", device.path, str(place))
    try:
        (facts,) = prober.probe()
        ((found,),) = candidates([facts], {}).values()
        assert found.superblock is not None
    finally:
        sh("umount", str(place))
