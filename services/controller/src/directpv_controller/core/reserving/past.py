"""What the ledger remembers of what is gone: volumes that were removed, and drives that were given up."""

from collections.abc import Callable
from typing import Final

from directpv_common.protocol.messages import GivenUpNode, RetiredDrive, VolumeRecord
from directpv_controller.core.placing.placement import Chance
from directpv_controller.core.reserving.drives import DriveBooks

GRAVES: Final = 20_000
"""Removed volumes that are remembered, so that an inventory taken before the removal cannot bring them back."""


class PastBooks(DriveBooks):
    """The part of the ledger that is about the past."""

    def __init__(self, chance: Chance) -> None:
        super().__init__(chance)
        self._graves: dict[str, tuple[str, str]] = {}
        """Names of removed volumes, oldest first, with the last incarnation that was removed, and its drive: what
        another drive has under that name is a copy, of which nobody acknowledged that it may go."""
        self.retired: dict[str, RetiredDrive] = {}
        """Drives that were given up while their disks could not be told; see :mod:`.retiring`."""
        self.leaving: dict[str, int] = {}
        """Drives that were given up just now, with how many heartbeats of their node did not name them since: what was
        said of them before must not bring them back."""
        self.sought: dict[str, tuple[str, frozenset[str]]] = {}
        """Drives of which the registry knows nothing, with node and names of the volumes that are sealed for them: they
        may have what was written last."""
        self.past: dict[str, RetiredDrive] = {}
        """All drives that this leader saw given up."""
        self.given_up: dict[str, GivenUpNode] = {}
        """Nodes that were given up, and have had no drives since."""

    def _bury(self, record: VolumeRecord) -> None:
        self._graves.pop(record.name, None)
        self._graves[record.name] = (record.incarnation, record.fsuuid)
        if len(self._graves) > GRAVES:
            del self._graves[next(iter(self._graves))]

    def note_past(self, retired: RetiredDrive) -> None:
        """Remember, for as long as this leader leads, that a drive was given up."""
        self.past[retired.fsuuid] = retired
        if len(self.past) > GRAVES:
            del self.past[next(iter(self.past))]

    def is_past(self, fsuuid: str) -> bool:
        """Tell whether a drive was given up, by this leader or one before, and is not taken in again."""
        return fsuuid not in self.drives and (fsuuid in self.past or fsuuid in self.retired)

    def seek(self, fsuuid: str, node: str, name: str) -> None:
        """Note that a volume is sealed for a drive that the registry does not know."""
        _, names = self.sought.get(fsuuid, ("", frozenset()))
        self.sought[fsuuid] = node, names | {name}

    def exhume(self, fsuuid: str) -> Callable[[], None]:
        """Forget which volumes were removed from a drive that people want back, with all that is on it; undone by call.

        What was removed with its data is not there any more; what was given up with its drive is.
        """
        graves = {name: grave for name, grave in self._graves.items() if grave[1] == fsuuid}
        for name in graves:
            del self._graves[name]
        return lambda: self._graves.update(graves)

    def is_buried(self, record: VolumeRecord) -> bool:
        """Tell whether this very volume was removed, and not an earlier or a later one of its name, nor a copy."""
        removed, fsuuid = self._graves.get(record.name, ("", ""))
        return fsuuid == record.fsuuid and (removed == record.incarnation or not removed or not record.incarnation)

    def was_elsewhere(self, record: VolumeRecord) -> bool:
        """Tell whether a volume of that name was removed from another drive, so that this one is a copy of it.

        It is nobody's: taken in, it would be what a repeated deletion of that name destroys.
        """
        removed, fsuuid = self._graves.get(record.name, ("", ""))
        same = removed == record.incarnation or not removed or not record.incarnation
        return bool(fsuuid) and fsuuid != record.fsuuid and same
