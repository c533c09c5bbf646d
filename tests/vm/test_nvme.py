"""NVMe drives that come, are pulled while they are written to, and come back, under a running agent."""

import asyncio

import pytest

from directpv_common.protocol import api
from directpv_common.protocol.messages import DeviceList, DriveStatus, Empty
from support.guest import nvme
from support.guest.lab import Lab, Tap
from support.guest.node import Node, Pod
from support.node_client import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

SOON = 10.0
"""Seconds; the guest's processors are emulated, and shared with other tests."""
SCAN_SECONDS = 3600
"""No scan helps: what is noticed, is noticed by events."""


async def devices(node: Node) -> list[str]:
    found: DeviceList = await node.client.ask(api.Node.DEVICE_LIST, Empty())
    return [device.name for device in found.devices if not device.denied]


async def write_on_and_on(pod: Pod) -> None:
    """Write, and sync, until that fails; return once the first round is done."""
    round = f"dd if=/dev/zero of={pod.target}/flood bs=1M count=8 conv=fsync status=none"
    script = f"while {round}; do touch /run/flows; done; exit 7"
    await pod.node.hand.start("flood", "sh", "-c", script)
    await eventually(lambda: pod.node.hand.exists("/run/flows"), "it is written to")


async def test_a_drive_is_plugged_in_used_pulled_while_written_to_and_put_back(lab: Lab, tap: Tap) -> None:
    machine, _ = await nvme.boot(lab)
    node = await lab.node(machine, **{"scan-interval": SCAN_SECONDS})

    names = []
    for serial in ("NVME1", "NVME2"):
        names.append(await machine.plug(serial))
        await tap.one("device.added", names[-1], within=SOON)
        assert names[-1] in await devices(node)

    drives = await nvme.init(node, *names)
    pods = [Pod(node, f"pvc-{index}") for index in range(2)]
    for pod, drive in zip(pods, drives, strict=True):
        await node.client.make_volume(drive, pod.name, 50)
        await pod.start()
        assert (await pod.write("before", "kept")).code == 0
    await write_on_and_on(pods[0])

    await machine.pull("NVME1")

    lost = await tap.one("drive.lost", drives[0], within=SOON)
    assert lost["advice"]
    assert await node.hand.wait("flood") == 7
    stats = await pods[0].stats()
    assert stats.abnormal
    assert "Lost" in stats.condition
    async with asyncio.timeout(SOON):
        assert (await pods[1].write("neighbour", "well")).code == 0
    assert not (await pods[1].stats()).abnormal
    assert (await node.client.held(drives[1])).record.status is DriveStatus.READY

    name = await machine.plug("NVME1")

    held = await node.client.drive_when(drives[0], lambda d: d.record.status is DriveStatus.READY, "it is Ready again")
    assert held.record.device == name
    assert (await pods[0].read("before")).out == "kept"
    assert (await pods[0].write("after", "again")).code == 0
    assert not (await pods[0].stats()).abnormal
