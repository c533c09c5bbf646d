"""Nodes as racks: a bay per drive, coloured by its state, with what its disk says of itself."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import directpv_common.protocol.messages as m
from directpv_cli.console.core.picture import Picture
from directpv_cli.showing.rows import drive_state
from directpv_cli.showing.terminal.cells import OTHER_STATE, state_colour

SHOWN: Final = 40
"""Nodes on the first screen, the worst first; the page of nodes has all."""
RANK: Final[Mapping[str, int]] = {"red": 0, OTHER_STATE: 1, "green": 2}


class Bay(NamedTuple):
    """One drive in its place."""

    drive: m.DriveInfo
    colour: str
    """``green``, ``yellow`` or ``red``, as tables paint states."""
    state: str
    disk: m.DriveMetrics | None = None
    """The last sample; None: there is none yet."""


class Rack(NamedTuple):
    """One node with its drives."""

    node: m.NodeSummary
    bays: Sequence[Bay]
    colour: str

    @property
    def counts(self) -> str:
        """Its drives by state, in words."""
        states = Counter(bay.state for bay in self.bays)
        return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "no drives"


def state_of(drive: m.DriveInfo) -> str:
    """Return the state as the table of drives has it."""
    return drive_state(drive.record) + ",Offline" * (not drive.online)


def colour_of(drive: m.DriveInfo) -> str:
    """Return the colour of a drive: that of its state, and yellow at least if it has a warning."""
    colour = state_colour(state_of(drive))
    return OTHER_STATE if colour == "green" and drive.record.conditions else colour


def rack(picture: Picture, node: m.NodeSummary, disks: Mapping[str, m.DriveMetrics]) -> Rack:
    """Return a node as a rack; ``disks`` are the last samples by drive."""
    drives = picture.drives_of.get(node.info.name, [])
    bays = [Bay(each, colour_of(each), state_of(each), disks.get(each.record.fsuuid)) for each in drives]
    return Rack(node, bays, worst_of([bay.colour for bay in bays] if node.online else ["red"]))


def racks(picture: Picture, disks: Mapping[str, m.DriveMetrics]) -> list[Rack]:
    """Return all nodes, the worst first."""
    found = [rack(picture, node, disks) for node in picture.nodes]
    return sorted(found, key=lambda each: (RANK.get(each.colour, 1), each.node.info.name))


def worst_of(colours: Sequence[str]) -> str:
    """Return the worst of several colours; green if there are none."""
    return min(colours, key=lambda colour: RANK.get(colour, 1), default="green")
