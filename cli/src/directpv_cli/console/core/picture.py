"""What was heard of an installation at one time, how old that is, and who is where in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import directpv_common.protocol.messages as m
from directpv_cli.showing.health import Heard

FRESH_SECONDS: Final = 3.0
"""How long the console waits between two looks, at least."""
LEAST_SECONDS: Final = 1.0
"""The same, when an event told that something changed."""
SHARE: Final = 10
"""A look that takes long is followed by a pause of so many times its own length: the controller serves others, too."""
LONGEST_SECONDS: Final = 30.0
"""And no pause is longer: a look that took long once may have been an accident."""
STALE_SECONDS: Final = 15.0
STALE_PAUSES: Final = 2
"""What is older than so many pauses, and than the seconds above, says nothing about now."""


@dataclass(frozen=True)
class Picture:
    """All of an installation, as it was when the controller was asked."""

    heard: Heard
    volumes: Sequence[m.VolumeInfo] = ()
    """Also those that are being deleted."""
    number: int = 0
    """Grows with each look."""
    began: float = 0.0
    """When the look began, in seconds of the console's own clock: nothing in it is older."""
    took: float = 0.0
    """Seconds."""

    @property
    def drives(self) -> Sequence[m.DriveInfo]:
        """All drives."""
        return self.heard.drives

    @property
    def nodes(self) -> Sequence[m.NodeSummary]:
        """All nodes that were ever heard."""
        return self.heard.nodes

    @property
    def moves(self) -> Sequence[m.MoveStatus]:
        """Moves that have not ended."""
        return self.heard.moves

    @property
    def pause(self) -> float:
        """Seconds until the next look."""
        return min(LONGEST_SECONDS, max(FRESH_SECONDS, SHARE * self.took))

    @property
    def least_pause(self) -> float:
        """Seconds until the next look, if something is known to have changed."""
        return min(LONGEST_SECONDS, max(LEAST_SECONDS, SHARE * self.took))

    @property
    def stale_after(self) -> float:
        """Age in seconds from which on it says nothing about now."""
        return max(STALE_SECONDS, STALE_PAUSES * self.pause)

    @cached_property
    def by_id(self) -> Mapping[str, m.DriveInfo]:
        """Drives by their ids."""
        return {drive.record.fsuuid: drive for drive in self.drives}

    @cached_property
    def by_node(self) -> Mapping[str, m.NodeSummary]:
        """Nodes by their names."""
        return {node.info.name: node for node in self.nodes}

    @cached_property
    def by_name(self) -> Mapping[str, m.VolumeInfo]:
        """Volumes by their names."""
        return {volume.record.name: volume for volume in self.volumes}

    @cached_property
    def drives_of(self) -> Mapping[str, list[m.DriveInfo]]:
        """Drives by their nodes, in the order of their devices' names."""
        found: dict[str, list[m.DriveInfo]] = {node.info.name: [] for node in self.nodes}
        for drive in self.drives:
            found.setdefault(drive.record.node, []).append(drive)
        for drives in found.values():
            drives.sort(key=lambda drive: (natural(drive.record.device), drive.record.fsuuid))
        return found

    @cached_property
    def volumes_of(self) -> Mapping[str, list[m.VolumeInfo]]:
        """Volumes by their drives' ids."""
        found: dict[str, list[m.VolumeInfo]] = {}
        for volume in self.volumes:
            found.setdefault(volume.record.fsuuid, []).append(volume)
        return found


def natural(name: str) -> tuple[int, str]:
    """Return what puts sdb before sdaa, and nvme2n1 before nvme10n1; names that are missing come last.

    >>> sorted(["sdaa", "sdb", "", "nvme10n1", "nvme2n1"], key=natural)
    ['sdb', 'sdaa', 'nvme2n1', 'nvme10n1', '']
    """
    return (len(name) or 1 << 16, name)


NOTHING: Final = Picture(Heard("", "", "", "", (), (), (), "nothing was heard yet"))
