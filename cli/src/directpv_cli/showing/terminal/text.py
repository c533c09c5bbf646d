"""Text that is safe to print on one line, and how wide it is. Pure."""

import re
import unicodedata
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
_SPACE: Final = re.compile(r"[ \t\r\n\v\f]*[\t\r\n\v\f][ \t\r\n\v\f]*")


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
