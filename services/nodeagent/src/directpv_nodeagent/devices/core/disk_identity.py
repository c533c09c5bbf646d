"""Which devices are one disk: several paths to it without multipath, or two loop devices over one file.

Source: udev's ``ata_id``, ``scsi_id``, ``usb_id``: ``ID_WWN`` names a unit, ``ID_SERIAL_SHORT`` is what the disk said;
where it said nothing, ``ID_SERIAL`` is its model alone, and every disk of the model has it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.core.udev_data import PART_NUMBER

_WWNS: Final = ("E:ID_WWN_WITH_EXTENSION", "E:ID_WWN")
_SERIAL: Final = "E:ID_SERIAL_SHORT"
_WHOLE_SERIAL: Final = "E:ID_SERIAL"
_UNITS: Final = ("E:ID_NSID", "E:ID_INSTANCE")
"""Namespace of NVMe, unit of a USB enclosure: units of one serial number."""
_SAYS_SERIAL_ALONE: Final = "vd"
"""Prefix of virtio disks, for which udev keeps what they say as ``ID_SERIAL``."""
_MEANINGLESS: Final = frozenset("0xX-_. ")


def identity(name: str, size: int, udev: Mapping[str, str], wwid: str = "", behind: str = "") -> str:
    """Return what all paths to a disk, or to one partition of it, have in common; empty if nothing tells.

    Everything that is known must agree: some disks have a made-up WWN, others a made-up serial number.

    Args:
        name: Kernel name.
        size: Bytes.
        udev: Its record in the udev database.
        wwid: World-wide id as sysfs has it, of NVMe and SCSI; used where udev knows none.
        behind: For a loop device, what it shows.
    """
    if behind:
        return f"loop {behind} {size}"
    wwn = next((udev[key] for key in _WWNS if _says(udev.get(key, ""))), "") or (wwid if _says(wwid) else "")
    serial = udev.get(_SERIAL, "") or (udev.get(_WHOLE_SERIAL, "") if name.startswith(_SAYS_SERIAL_ALONE) else "")
    serial = serial if _says(serial) else ""
    if not wwn and not serial:
        return ""
    unit = (udev.get(key, "") for key in _UNITS)
    return " ".join((wwn, serial, *unit, str(size), udev.get(PART_NUMBER, "")))


def _says(text: str) -> bool:
    return bool(set(text) - _MEANINGLESS)


def order(name: str) -> tuple[int, str]:
    """Return a key that sorts kernel names as the kernel gives them: ``sdb`` before ``sdaa``."""
    return len(name), name


def main_path(paths: Sequence[DeviceFacts]) -> DeviceFacts:
    """Return the device, of several that are one disk, that stands for it: one in use, else the first by name."""
    return min(paths, key=lambda facts: (not (facts.mount_points or facts.holders or facts.swap), order(facts.name)))


def with_paths(found: Sequence[DeviceFacts]) -> list[DeviceFacts]:
    """Return the devices, those that are further paths to a disk with the name of the one that stands for it."""
    disks: dict[str, list[DeviceFacts]] = {}
    for facts in found:
        disks.setdefault(facts.identity or facts.name, []).append(facts)
    mains = {key: main_path(paths).name for key, paths in disks.items()}
    return [
        facts if (main := mains[facts.identity or facts.name]) == facts.name else replace(facts, path_of=main)
        for facts in found
    ]
