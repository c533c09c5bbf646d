"""What is known of one block device at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from directpv_nodeagent.devices.core.superblock import Superblock
from directpv_nodeagent.devices.core.udev_data import MODEL, PART_NUMBER, VENDOR

NO_UDEV: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """A snapshot of a block device, from sysfs, the udev database, mount and swap tables, and its own content.

    ``udev`` has the record of the udev database as :func:`.udev_data.parse_udev` splits it; on a node without
    such a record, what the agent found itself under the same keys.
    """

    name: str
    """Kernel name without ``/dev/``; may contain a slash (``cciss/c0d0``)."""
    major_minor: str
    """``<major>:<minor>``, decimal."""
    size: int = 0
    """Bytes."""
    disk: str = ""
    """Kernel name of the disk that this is a partition of; empty for a whole disk."""
    hidden: bool = False
    removable: bool = False
    read_only: bool = False
    partitioned: bool = False
    holders: tuple[str, ...] = ()
    dm_name: str = ""
    mount_points: tuple[str, ...] = ()
    """Where it is mounted, in any namespace that can be seen; a note in words where the place cannot."""
    swap: bool = False
    cdrom: bool = False
    udev: Mapping[str, str] = field(default_factory=lambda: NO_UDEV)
    superblock: Superblock | None = None
    """XFS that this device is, read from it; None if it is none, or could not be read (see ``unreadable``)."""
    shadow: Superblock | None = None
    """XFS that shows through this device but belongs to another: a path of a multipath disk, a member of a mirror.
    Never to be mounted from here; ``superblock`` is None then."""
    signatures: tuple[str, ...] = ()
    """Read from the device itself, sorted: libblkid's names, such as ``LVM2_member``, ``ext4``, ``gpt``."""
    unreadable: str = ""
    """Why the device's content could not be read, in words; empty if it was read, or need not be."""

    users: tuple[str, ...] = ()
    """Who uses the device as it is, in words: a loop device, a raw block volume. Known after a thorough look."""
    unsuited: str = ""
    """Why a device of this kind is not offered, in words; empty for a disk."""
    not_ready: str = ""
    """Why it is not to be used now, as udev says; empty if it may be, or there is no udev."""
    claimed: bool = False
    """Udev says that it is part of something else, such as a path of a multipath disk: not to be mounted from here."""
    identity: str = ""
    """What all devices that are this very disk have in common; empty if nothing tells."""
    appearance: str = ""
    """What the kernel counts up with each disk that appears, and the partition: another one after the disk was pulled,
    and after a reboot. Empty before Linux 5.15."""
    path_of: str = ""
    """Name of the device that stands for this disk, if that is another one; known after a thorough look."""
    remnant: Superblock | None = None
    """Backup super block of an XFS whose first one is gone, after a thorough look."""
    samples: str = ""
    """Hash of what was read here and there, after a thorough look at a device that carries something; else empty."""

    pending: bool = False
    """It is still being read, and was not given up: nothing may be concluded from what is missing here."""

    @property
    def make(self) -> str:
        """For people: device-mapper name, vendor, model and partition, of those that are known."""
        part = self.udev.get(PART_NUMBER, "")
        words = (self.dm_name, self.udev.get(VENDOR, ""), self.udev.get(MODEL, ""), f"(Part {part})" if part else "")
        return " ".join(word for word in words if word)
