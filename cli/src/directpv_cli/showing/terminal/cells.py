"""Cells and columns of tables, and the colours of states. Pure."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from directpv_common.protocol.messages import DriveStatus, VolumeStatus

STATE_COLOURS: Final[Mapping[str, str]] = {
    DriveStatus.READY: "green",
    VolumeStatus.BOUND: "green",
    "Online": "green",
    "running": "green",
    "YES": "green",
    "Success": "green",
    DriveStatus.LOST: "red",
    DriveStatus.ERROR: "red",
    "Offline": "red",
    "ended": "red",
}
"""Of what is well and of what is not; every other state, and every suffix, passes by and asks for attention."""
OTHER_STATE: Final = "yellow"


class Tinted(str):
    """A cell with a colour of its own."""

    colour = ""


class Column(NamedTuple):
    """One column of a table, and what becomes of it where the lines are short."""

    title: str
    goes: int = 0
    """The columns with the highest number go first; 0: stays."""
    folds: int = 0
    """Its text may be wrapped after spaces and commas, to so many columns; where these are not left, it stands below
    its row. 0: it is shown on one line."""
    state: bool = False
    """Its words are states."""


def tint(text: str, colour: str) -> Tinted:
    """Return a cell with a colour, for instance ``green``."""
    cell = Tinted(text)
    cell.colour = colour
    return cell


def state_colour(text: str) -> str:
    """Return the colour of a state with its suffixes; nothing for an empty one.

    >>> state_colour("Ready"), state_colour("Ready,SchedulingDisabled"), state_colour("Lost,Offline")
    ('green', 'yellow', 'red')
    """
    words = text.split(",")
    if not text or text == "-":
        return ""
    colours = [STATE_COLOURS.get(word, OTHER_STATE) for word in words]
    return "red" if "red" in colours else OTHER_STATE if OTHER_STATE in colours else colours[0]
