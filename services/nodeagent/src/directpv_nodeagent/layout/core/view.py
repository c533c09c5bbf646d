"""What a thread needs of a drive, and what it found there: both never change under anybody's hands."""

from dataclasses import dataclass, field

from directpv_common.protocol.messages import DriveRecord, HeldCopy, VolumeRecord, VolumeUse
from directpv_nodeagent.layout.core.layout import drive_path
from directpv_nodeagent.layout.core.places import Place


@dataclass(frozen=True, slots=True)
class DriveView:
    """What a thread needs to know to work on a mounted drive; never changes under its hands."""

    root: str
    """The agent's root directory."""
    fsuuid: str
    device: str
    """``major:minor`` of the mounted file system."""
    name: str
    """Kernel name of the device."""
    enforced: bool
    """Whether project quota is in force."""

    @property
    def path(self) -> str:
        """Mount point."""
        return drive_path(self.root, self.fsuuid)

    @property
    def device_path(self) -> str:
        """Device file."""
        return f"/dev/{self.name}"

    def place(self, volume: str) -> Place:
        """Return where a volume is in the mount table."""
        return Place(volume, self.device)


@dataclass(frozen=True, slots=True)
class Contents:
    """What was found on a drive when it was taken over."""

    view: DriveView
    record: DriveRecord
    volumes: dict[str, VolumeRecord]
    projects: dict[str, int]
    """Project ids of volumes and of remains; of the latter under ``<name>.deleted``."""
    uses: dict[str, VolumeUse]
    purging: dict[str, int]
    """Volumes whose remains wait to be purged, with the bytes that they may still take."""
    copies: dict[str, HeldCopy] = field(default_factory=dict)
    """What moves have copied here, by volume."""
    strays: dict[str, str] = field(default_factory=dict)
    """Copies of volumes that the leader said are on another drive, with that drive."""
    sealed: dict[str, str] = field(default_factory=dict)
    """Volumes of which all was copied to the drive that ``strays`` names, with the id of the move."""
    flags: dict[str, frozenset[str]] = field(default_factory=dict)
    """Flags of the mounts of volumes that kubelet asked for, by path."""
    stale: bool = True
    """Whether places may show volumes of it dead, or covered."""
