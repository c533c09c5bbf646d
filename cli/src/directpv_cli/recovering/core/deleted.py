"""Volumes whose deletion was acknowledged, and is still to be carried out: no recovery brings one back. Pure."""

from collections.abc import Iterable
from typing import Final

import directpv_common.protocol.messages as m
from directpv_cli.recovering.core.drives import Found
from directpv_cli.recovering.core.rows import Action, Row

KIND: Final = "Volume"


class Deleted:
    """What the controller says is being deleted, on drives that it knows and on such that were given up."""

    def __init__(self, volumes: Iterable[m.VolumeInfo]) -> None:
        marked = [info.record for info in volumes if info.record.deleting]
        self._records = {(record.fsuuid, record.name): record for record in marked}

    def on(self, fsuuid: str) -> list[str]:
        """Return the names of those of a drive, in order."""
        return sorted(name for drive, name in self._records if drive == fsuuid)

    def has(self, fsuuid: str, found: m.VolumeRecord) -> bool:
        """Tell whether what a drive has is such a volume, and not a later one of its name."""
        record = self._records.get((fsuuid, found.name))
        if record is None:
            return False
        return record.incarnation == found.incarnation or not record.incarnation or not found.incarnation

    def rows(self, drives: Iterable[Found]) -> list[Row]:
        """Return a row for each that is on one of ``drives``, which come back."""
        return [
            Row(KIND, name, Action.LEFT, f"it was deleted: its data goes when drive {each.drive.fsuuid} is back")
            for each in drives
            for name in self.on(each.drive.fsuuid)
        ]
