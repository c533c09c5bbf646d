"""Nodes with NVMe drives, for tests."""

import itertools

from support.guest.lab import Lab
from support.guest.node import Node
from support.guest.qemu import Qemu

FIRST_CARD = 101
"""Network cards of these guests; those below are the lab's own."""
_numbers = itertools.count(FIRST_CARD)


async def boot(lab: Lab, name: str = "n1", drives: int = 0, devices: tuple[str, ...] = ()) -> tuple[Qemu, list[str]]:
    """Boot a guest with so many NVMe drives, and with further ``devices`` in the words of QEMU's command line.

    Returns:
        The guest, and the kernel names of the NVMe drives, whose serial numbers are ``NVME1``, ``NVME2`` and so on.
    """
    machine = Qemu(name, next(_numbers), lab.directory, devices)
    lab.machines.append(machine)  # type: ignore[arg-type]
    await machine.start()
    return machine, [await machine.plug(f"NVME{number}") for number in range(1, drives + 1)]


async def init(node: Node, *names: str) -> list[str]:
    """Make drives of these devices once udev knows them, and return their ids."""
    await node.hand.run("udevadm", "settle", "--timeout=20")
    results = await node.client.format(*names)
    assert [result.error for result in results] == [""] * len(names)
    return [result.drive.fsuuid for result in results if result.drive]
