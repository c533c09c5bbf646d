"""Disks that are none: what lives in memory is never made a drive, on the kernel's own devices."""

from typing import Final

import pytest

from directpv_common.protocol import api
from directpv_common.protocol.messages import Device, DeviceList, Empty
from support.guest import nvme
from support.guest.lab import Lab
from support.guest.node import Node
from support.node_client import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

LOAD: Final = """
set -eu
/run/modprobe zram num_devices=1
echo 600M > /sys/block/zram0/disksize
/run/modprobe brd rd_nr=1 rd_size=614400
"""
"""Sizes that a drive could have; the pages are only taken when they are written to."""
TOLD: Final = {"zram0": "memory", "ram0": "memory"}


async def test_devices_of_memory_are_refused_even_by_force_and_say_what_they_are(
    lab: Lab,
) -> None:
    machine, names = await nvme.boot(lab, drives=1)
    node = await lab.node(machine, devices="*")
    await machine.hand.sh(LOAD)
    await machine.hand.run("udevadm", "settle", "--timeout=20")
    await eventually(lambda: all_seen(node), "all are seen")

    for name, what in TOLD.items():
        device = (await devices(node))[name]
        assert any(what in why for why in device.denied), (name, device.denied)
        (result,) = await node.client.format(name, force=True)
        assert what in result.error, (name, result)
    assert (await devices(node))[names[0]].denied == ()


async def devices(node: Node) -> dict[str, Device]:
    """Return all by name."""
    found: DeviceList = await node.client.ask(api.Node.DEVICE_LIST, Empty())
    return {device.name: device for device in found.devices}


async def all_seen(node: Node) -> bool:
    """Tell whether the agent has looked at all of them."""
    return set(TOLD) <= set(await devices(node))
