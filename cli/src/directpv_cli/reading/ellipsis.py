"""``node-{1...4}`` and ``sd{a...f}``: ranges in the arguments of the plugin.

Source: upstream's grammar; what it takes in silence (a second ``...``, an open brace) is refused here.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Final

_GROUP: Final = re.compile(r"\{([^{}]*)\}")
_RANGE: Final = re.compile(r"(?:(\d+)\.\.\.(\d+)|([a-z]+)\.\.\.([a-z]+))\Z")
MOST: Final = 100_000


def expand(pattern: str) -> list[str]:
    """Return every word that ``pattern`` stands for, the left-most range changing slowest.

    >>> expand("n{1...2}-sd{y...aa}")
    ['n1-sdy', 'n1-sdz', 'n1-sdaa', 'n2-sdy', 'n2-sdz', 'n2-sdaa']

    Raises:
        ValueError: Malformed; the text shows the pattern and the two accepted forms.
    """
    pieces = _GROUP.split(pattern)
    texts, groups = pieces[0::2], pieces[1::2]
    if any("{" in text or "}" in text for text in texts):
        raise ValueError(f"{pattern!r}: a brace has no partner; write {{1...4}} or {{a...f}}")
    ranges = [_words(pattern, group) for group in groups]
    words = ["".join(_interleave(texts, choice)) for choice in itertools.product(*ranges)]
    if not all(words):
        raise ValueError("an empty name was given")
    return words


def expand_all(patterns: Iterable[str]) -> tuple[str, ...]:
    """Expand each of ``patterns``, which may hold several separated by commas; without repeats."""
    return tuple(dict.fromkeys(word for item in patterns for part in item.split(",") for word in expand(part.strip())))


def _words(pattern: str, group: str) -> list[str]:
    match = _RANGE.match(group)
    if match is None:
        raise ValueError(f"{pattern!r}: {{{group}}} is not a range; write {{1...4}} or {{a...f}}")
    numeric = match[1] is not None
    ends = (int(match[1]), int(match[2])) if numeric else (_number(match[3]), _number(match[4]))
    low, high = sorted(ends)
    if high - low >= MOST:
        raise ValueError(f"{pattern!r}: {{{group}}} stands for more than {MOST} names")
    return [str(n) if numeric else _letters(n) for n in range(low, high + 1)]


def _number(letters: str) -> int:
    """Return the place of ``letters`` in a, b, … z, aa, ab, …; the first is 1."""
    value = 0
    for letter in letters:
        value = value * 26 + ord(letter) - ord("a") + 1
    return value


def _letters(number: int) -> str:
    letters = ""
    while number:
        number, digit = divmod(number - 1, 26)
        letters = chr(ord("a") + digit) + letters
    return letters


def _interleave(texts: list[str], choice: tuple[str, ...]) -> Iterator[str]:
    for text, word in itertools.zip_longest(texts, choice, fillvalue=""):
        yield text
        yield word
