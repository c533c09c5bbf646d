"""Text in the cells of tables: what is safe to print, how wide it is, and the colour of a state. Pure."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final, NamedTuple

from directpv_common.protocol.messages import DriveStatus, VolumeStatus

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
_SPACE: Final = re.compile(r"[ \t\r\n\v\f]*[\t\r\n\v\f][ \t\r\n\v\f]*")

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


def clean(text: str) -> str:
    """Return ``text`` on one line, with what a terminal would obey shown as it would be written in C.

    >>> clean("SanDisk\\x1b[31m\\n Ultra")
    'SanDisk\\\\x1b[31m Ultra'
    """
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], _SPACE.sub(" ", text))


def width(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes. Source: Unicode Standard Annex 11."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def _width(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def padded(text: str, columns: int) -> str:
    """Return ``text`` with spaces up to so many columns."""
    return text + " " * (columns - width(text))


def wrapped(text: str, columns: int) -> list[str]:
    """Return ``text`` in lines of at most so many columns, broken after spaces and commas, else anywhere."""
    lines, line, room = [], "", columns
    for word in re.findall(r"[^ ,]*(?:[ ,]+|\Z)", text):
        if width(word.rstrip(" ")) > room and line:
            lines.append(line.rstrip(" "))
            line, room = "", columns
        while width(word.rstrip(" ")) > columns:
            head = _head(word, columns)
            lines.append(head)
            word = word[len(head) :]
        line, room = line + word, room - width(word)
    return [*lines, line.rstrip(" ")] if line.strip(" ") or not lines else lines


def _head(word: str, columns: int) -> str:
    taken, end = 0, 0
    for letter in word:
        taken += _width(letter)
        if taken > columns and end:
            break
        end += 1
    return word[:end]
