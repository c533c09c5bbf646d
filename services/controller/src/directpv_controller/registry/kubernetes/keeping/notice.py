"""Who is told what others do to objects, as soon as a write meets it."""

from typing import Protocol

from directpv_common.protocol.messages import DriveRecord, VolumeRecord, VolumeUse


class Notice(Protocol):
    """Is told what others did to objects, as soon as it is seen."""

    def drive_edited(self, base: DriveRecord, theirs: DriveRecord) -> None:
        """Take in a drive that somebody else wrote since ``base``."""
        ...

    def volume_edited(self, base: VolumeRecord, theirs: VolumeRecord) -> None:
        """Take in a volume that somebody else wrote since ``base``."""
        ...

    def recreated(self, noun: str, name: str) -> None:
        """Tell that an object was gone, and was made again."""
        ...

    def withdrawn(self, record: VolumeRecord) -> None:
        """Note that a volume's object goes that nobody was told of: what is seen of it from before means nothing."""
        ...

    def use_of(self, name: str) -> VolumeUse | None:
        """Return where a volume is mounted; None: not known."""
        ...


class Noticed:
    """Passes on to whoever listens just now; nobody does before there is a term of leadership."""

    def __init__(self) -> None:
        self.listener: Notice | None = None

    def drive_edited(self, base: DriveRecord, theirs: DriveRecord) -> None:
        """See :class:`Notice`."""
        if self.listener is not None:
            self.listener.drive_edited(base, theirs)

    def volume_edited(self, base: VolumeRecord, theirs: VolumeRecord) -> None:
        """See :class:`Notice`."""
        if self.listener is not None:
            self.listener.volume_edited(base, theirs)

    def recreated(self, noun: str, name: str) -> None:
        """See :class:`Notice`."""
        if self.listener is not None:
            self.listener.recreated(noun, name)

    def withdrawn(self, record: VolumeRecord) -> None:
        """See :class:`Notice`."""
        if self.listener is not None:
            self.listener.withdrawn(record)

    def use_of(self, name: str) -> VolumeUse | None:
        """See :class:`Notice`."""
        return self.listener.use_of(name) if self.listener is not None else None
