"""One block device as sysfs and the udev database show it. Blocking, but never touches the device itself."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from directpv_nodeagent.devices.core.io_stats import SECTOR, IoStats, done, parse_stat
from directpv_nodeagent.devices.core.udev_data import MODEL, PART_NUMBER, VENDOR, parse_udev
from directpv_nodeagent.linux.core.own_faults import is_own

_STARTED: Final = "E:BOOT_ID"
_SEQUENCE: Final = "E:DISKSEQ"
_SERIAL: Final = "E:ID_SERIAL"
_SHORT_SERIAL: Final = "E:ID_SERIAL_SHORT"


@dataclass(frozen=True)
class Roots:
    """Where the system's trees are mounted; a container may see the host's elsewhere."""

    sys: Path = Path("/sys")
    udev: Path = Path("/run/udev/data")
    proc: Path = Path("/proc")
    dev: Path = Path("/dev")

    def block(self, name: str) -> Path:
        """Return the sysfs folder of device ``name``, whose slashes are ``!`` there."""
        return self.sys / "class/block" / name.replace("/", "!")

    def path(self, name: str) -> Path:
        """Return the device file of ``name``."""
        return self.dev / name


def read_text(path: Path) -> str:
    """Return a small file of the kernel without its last newline; empty if it is missing or cannot be read.

    Raises:
        OSError: The agent has run out of something (:mod:`..linux.core.own_faults`), so that nothing can be concluded.
    """
    try:
        return path.read_text(errors="surrogateescape").strip()
    except (OSError, ValueError) as error:  # ValueError: a name with NUL
        if is_own(error):
            raise
        return ""


def names_in(folder: Path) -> list[str]:
    """Return the entries of ``folder``, sorted; none if it is missing or cannot be read.

    Raises:
        OSError: As :func:`read_text`.
    """
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        if is_own(error):
            raise
        return []


def is_partitioned(block: Path) -> bool:
    """Tell whether the device has partitions."""
    return any((block / child / "partition").exists() for child in names_in(block) if child.startswith(block.name))


def read_udev(roots: Roots, number: str) -> dict[str, str] | None:
    """Return the udev database's record of a device; None if there is no such record."""
    try:
        with open(roots.udev / f"b{number}", errors="surrogateescape", newline="\n") as file:
            return parse_udev(file.read())
    except OSError as error:
        if is_own(error):
            raise
        return None


def stand_in(roots: Roots, block: Path) -> dict[str, str]:
    """Return what udev would say about a device that it does not know, as far as sysfs tells.

    Boot id and disk sequence number take the place of udev's time of initialisation: a device id must not
    outlive a reboot, which may give the name to another disk.
    """
    disk = block.resolve()
    disk = disk.parent if (disk / "partition").exists() else disk
    found = {
        _STARTED: read_text(roots.proc / "sys/kernel/random/boot_id"),
        _SEQUENCE: read_text(disk / "diskseq"),
        VENDOR: _words(disk / "device/vendor"),
        MODEL: _words(disk / "device/model"),
        _SERIAL: read_text(disk / "device/serial") or read_text(disk / "serial") or read_text(disk / "wwid"),
        PART_NUMBER: read_text(block / "partition"),
    }
    return {key: value for key, value in found.items() if value}


def read_appearance(block: Path) -> str:
    """Return which appearance of a disk this is since the node booted, and which partition; empty before Linux 5.15."""
    part = read_text(block / "partition")
    disk = block.resolve()
    sequence = read_text((disk.parent if part else disk) / "diskseq")
    return f"{sequence}.{part}" if sequence and part else sequence


def read_serial(roots: Roots, name: str) -> str:
    """Return the serial number of the disk, as it is printed on it; empty if neither udev nor sysfs has one."""
    block = roots.block(name)
    known = read_udev(roots, read_text(block / "dev")) or stand_in(roots, block)
    return known.get(_SHORT_SERIAL, "") or known.get(_SERIAL, "")


def read_wwid(block: Path) -> str:
    """Return the world-wide id of the disk that the device is, or is a partition of; empty if sysfs has none."""
    disk = block.resolve()
    disk = disk.parent if (disk / "partition").exists() else disk
    return read_text(disk / "wwid") or read_text(disk / "device/wwid")


def _words(path: Path) -> str:
    """Return a name, but not a bus's numeric vendor id."""
    text = " ".join(read_text(path).split())
    return "" if text.startswith("0x") else text


def read_io_stats(roots: Roots, name: str) -> IoStats | None:
    """Return the I/O counters of device ``name``; None if it is gone. Reads memory only, never the device."""
    return parse_stat(read_text(roots.block(name) / "stat"))


def is_rotational(roots: Roots, name: str) -> bool | None:
    """Tell whether the disk of device ``name`` has rotating media; None if sysfs does not say."""
    block = roots.block(name)
    text = read_text(block / "queue/rotational") or read_text(block.resolve().parent / "queue/rotational")
    return None if not text else text != "0"


def size_of(block: Path) -> int:
    """Return the device's size in bytes; 0 if sysfs does not tell."""
    text = read_text(block / "size")
    return int(text) * SECTOR if text.isdecimal() else 0


def disk_of(block: Path) -> str:
    """Return the kernel name of the disk that the device is a partition of; empty if it is none."""
    return block.resolve().parent.name.replace("!", "/") if (block / "partition").exists() else ""


def flag_of(path: Path) -> bool:
    """Return a flag of sysfs; False if it is missing."""
    return read_text(path) not in ("", "0")


def requests_done(roots: Roots, name: str) -> tuple[int, ...]:
    """Return how many reads, writes, discards and flushes a device has completed; empty if that cannot be told."""
    return done(read_text(roots.block(name) / "stat"))
