"""What a new volume would share a drive with: project ids never, what it belongs to as little as can be."""

from typing import Final

from directpv_common.protocol import names
from directpv_controller.core.model import Drive
from directpv_controller.core.spread import groups_of, note

SHARED_AT_MOST: Final = 256
"""Drives with volumes of the same pod or set that are looked at for a better one."""


class Choice:
    """The drive that shares least with what a volume belongs to, of those that come by, most free bytes first."""

    def __init__(self, groups: tuple[str, ...]) -> None:
        self.best: Drive | None = None
        self._groups = groups
        self._company: tuple[int, ...] = ()
        self._seen = 0

    def ends_with(self, drive: Drive) -> bool:
        """Take a drive into account; tell whether the choice is made: none can be better, or enough were seen."""
        found = company(drive, self._groups)
        if self.best is None or found < self._company:
            self.best, self._company = drive, found
        self._seen += 1
        return not any(found) or self._seen > SHARED_AT_MOST


def company(drive: Drive, groups: tuple[str, ...]) -> tuple[int, ...]:
    """Return how many volumes of each of ``groups`` the drive has; those that are being deleted do not count."""
    if not groups:
        return ()
    if drive.groups is None:
        drive.groups = {}
        for volume in drive.volumes.values():
            note(drive.groups, volume.record.name, groups_of(volume.record.pvc_name, volume.record.pvc_namespace))
    return tuple(
        sum(not drive.volumes[name].record.deleting for name in drive.groups.get(group, ())) for group in groups
    )


def shares_project(drive: Drive, project: int) -> bool:
    """Tell whether a volume of the drive has this XFS project id: two volumes must never share one quota."""
    if drive.projects is None:
        drive.projects = {}
        for name in drive.volumes:
            other = names.project_id(name)
            drive.projects[other] = drive.projects.get(other, 0) + 1
    return project in drive.projects
