"""The locate light of the bay that a disk is in, as far as the kernel shows one. Blocking: SES is a SCSI command.

| disk | where | how |
|---|---|---|
| SAS, SATA | ``/sys/class/block/sda/device/enclosure_device:SLOT/locate`` | SES, by the module ``ses`` |
| NVMe | ``/sys/class/leds/PORT:enclosure:locate/brightness``, PORT above it | NPEM or ``_DSM``; Linux 6.13 |

Source: Linux, ``drivers/misc/enclosure.c``, ``drivers/pci/npem.c``; PCI Express Base Specification 6.1, section 6.28.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from directpv_common.protocol.errors import DriveFault, FailedPrecondition
from directpv_nodeagent.devices.sysfs import Roots, names_in, read_serial, read_text

_SES: Final = "enclosure_device:"
_NPEM: Final = "{port}:enclosure:locate"


@dataclass(frozen=True, slots=True)
class Light:
    """A light that can be switched."""

    bay: str
    """What the enclosure calls the slot; for NVMe the address of its port."""
    file: Path

    def is_on(self) -> bool:
        """Tell whether it is lit. Source: the kernel writes 0 where it is not."""
        return read_text(self.file) not in ("", "0")

    def switch(self, *, on: bool) -> None:
        """Put it on or out.

        Raises:
            DriveFault: The enclosure did not do it; says what the kernel said.
        """
        try:
            self.file.write_text("1" if on else "0")
        except OSError as error:
            raise DriveFault(
                f"the light of bay {self.bay} cannot be switched: {error.strerror} ({self.file})"
            ) from error
        if self.is_on() is not on:
            raise DriveFault(f"the enclosure took the order for bay {self.bay} and did not carry it out ({self.file})")


def find(roots: Roots, name: str) -> Light:
    """Return the light of the bay that device ``name``, or the disk that it is a part of, is in.

    Raises:
        FailedPrecondition: The kernel shows none; says what shows it where there is hardware for it.
    """
    block = roots.block(name).resolve()
    disk = block.parent if (block / "partition").exists() else block
    light = _ses(disk) or _npem(roots, disk)
    if light is None:
        serial = read_serial(roots, name)
        raise FailedPrecondition(
            f"the kernel shows no locate light for {name}: SAS and SATA enclosures need its module ses (modprobe ses), "
            f"bays of NVMe disks Linux 6.13 and NPEM. Look for {f'serial number {serial}' if serial else 'the disk'}, "
            "or use the server's own management"
        )
    return light


def _ses(disk: Path) -> Light | None:
    for entry in names_in(disk / "device"):
        file = disk / "device" / entry / "locate"
        if entry.startswith(_SES) and file.exists():
            return Light(entry.removeprefix(_SES).strip(), file)
    return None


def _npem(roots: Roots, disk: Path) -> Light | None:
    """Return the light of the nearest port above the disk: further up are switches of many."""
    for above in disk.parents:
        file = roots.sys / "class/leds" / _NPEM.format(port=above.name) / "brightness"
        if file.exists():
            return Light(above.name, file)
    return None
