"""Records of the udev database, as device ids hash them.

Source: format of ``/run/udev/data`` files: one item a line, ``<letter>:<text>``. The way of splitting is
upstream's and must not change: ids are hashes over its result.
"""

from collections.abc import Mapping
from typing import Final

FS_TYPE: Final = "E:ID_FS_TYPE"
FS_UUID: Final = "E:ID_FS_UUID"
FS_LABEL: Final = "E:ID_FS_LABEL"
PART_TABLE_TYPE: Final = "E:ID_PART_TABLE_TYPE"
PART_NUMBER: Final = "E:ID_PART_ENTRY_NUMBER"
VENDOR: Final = "E:ID_VENDOR"
MODEL: Final = "E:ID_MODEL"
SYSTEMD_READY: Final = "E:SYSTEMD_READY"
MULTIPATH_PATH: Final = "E:DM_MULTIPATH_DEVICE_PATH"
_INITIALIZED: Final = "I:"
"""Begins the line with the time when udev had finished with the device for the first time."""
_MULTIPATH_MEMBER: Final = "mpath_member"


def parse_udev(text: str) -> dict[str, str]:
    """Split a database record into keys such as ``E:ID_FS_TYPE`` and their values.

    A line without ``=`` becomes a key that keeps its newline, with an empty value; a last line that is not
    terminated is not there yet, and is left out.
    """
    found: dict[str, str] = {}
    for line in text.split("\n")[:-1]:
        key, equals, value = line.partition("=")
        if equals:
            found[key] = value.strip()
        else:
            found[f"{key}\n"] = ""
    return found


def udev_text(udev: Mapping[str, str]) -> str:
    """Return the part of a device id's text that stands for the udev record."""
    return ";".join(sorted(f"{key}={value}" for key, value in udev.items()))


def claimed(udev: Mapping[str, str]) -> str:
    """Return what a device is part of, as its record in the udev database has it; empty if it stands for itself.

    Source: multipath-tools' udev rules for paths; systemd.device(5) for ``SYSTEMD_READY``.
    """
    if udev.get(MULTIPATH_PATH) == "1" or udev.get(FS_TYPE) == _MULTIPATH_MEMBER:
        return "path of a multipath disk; use that disk (/dev/mapper)"
    if udev.get(SYSTEMD_READY) == "0":
        return "udev says that it is not ready, or part of something else (SYSTEMD_READY=0)"
    return ""


def not_ready(udev: Mapping[str, str]) -> str:
    """Return why a device is not to be formatted now; empty if it may be.

    A worker of udev that was killed leaves a record without the time of initialisation.
    """
    if not any(key.startswith(_INITIALIZED) for key in udev):
        return claimed(udev) or "udev has not finished with it; look again, or run: udevadm trigger --settle"
    return claimed(udev)
