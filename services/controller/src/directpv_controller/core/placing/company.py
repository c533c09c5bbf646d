"""What a new volume would share a drive with: project ids never, what it belongs to as little as can be."""

from typing import Final

from directpv_common.protocol import names
from directpv_controller.core.placing.model import Drive
from directpv_controller.core.placing.spread import count

SHARED_AT_MOST: Final = 64
"""Drives with volumes of the same pod or set that one placement passes by for a better one, wherever it looks."""
COUNTED_AT_MOST: Final = 3_000
"""Volumes that one placement counts on drives that were not asked before: some milliseconds."""


class Chooser:
    """Finds the drives that share least with what one volume belongs to; what that may cost is bounded over all of it.

    Beyond that, the next drive is taken, as if nothing was known of it: later placements know what this one counted.
    """

    def __init__(self, groups: tuple[str, ...]) -> None:
        self._groups = groups
        self._passes = SHARED_AT_MOST
        self._counts = COUNTED_AT_MOST

    def company(self, drive: Drive) -> tuple[int, ...]:
        """Return how many volumes of each group the drive has; those that are being deleted do not count."""
        if drive.groups is None and self._groups and self._counts > 0:
            self._counts -= len(drive.volumes)
            drive.groups = {}
            for volume in drive.volumes.values():
                count(drive.groups, volume.record, +1)
        known = drive.groups or {}
        return tuple(known.get(group, 0) for group in self._groups)

    def passes(self) -> bool:
        """Tell whether one more drive may be passed by."""
        self._passes -= 1
        return self._passes >= 0


class Choice:
    """The drive that shares least, of those that come by, most free bytes first."""

    def __init__(self, chooser: Chooser) -> None:
        self.best: Drive | None = None
        self._chooser = chooser
        self._company: tuple[int, ...] = ()

    def ends_with(self, drive: Drive) -> bool:
        """Take a drive into account; tell whether the choice is made: none can be better, or enough were seen."""
        found = self._chooser.company(drive)
        if self.best is None or found < self._company:
            self.best, self._company = drive, found
        return not any(found) or not self._chooser.passes()


def shares_project(drive: Drive, project: int) -> bool:
    """Tell whether a volume of the drive has this XFS project id: two volumes must never share one quota."""
    if drive.projects is None:
        drive.projects = {}
        for name in drive.volumes:
            other = names.project_id(name)
            drive.projects[other] = drive.projects.get(other, 0) + 1
    return project in drive.projects
