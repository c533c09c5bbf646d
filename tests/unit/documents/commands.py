"""Command lines of our own programs in documents."""

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

TOP = Path(__file__).resolve().parents[3]
_LINE = re.compile(r"^(?: {4,}|\s*\$ )(?P<words>(?:kubectl directpv|kubectl-directpv|directpv) .*)$")
_SPOKEN = re.compile(r"`((?:kubectl directpv|kubectl-directpv|directpv) [^`]*)`")
GENERATED = "reference/"


class Line(NamedTuple):
    """One command, and where it stands."""

    where: str
    words: tuple[str, ...]


def documents() -> list[Path]:
    """Return all that people read; pages made by programs are not among them."""
    pages = [path for path in (TOP / "docs").rglob("*.md") if GENERATED not in str(path)]
    return [*sorted(TOP.glob("*.md")), *sorted(pages)]


def examples(path: Path) -> Iterator[Line]:
    """Yield the lines of examples, which people copy."""
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if text.isascii() and (found := _LINE.match(text)):
            yield Line(f"{path.relative_to(TOP)}:{number}", tuple(_words(found["words"])))


def spoken(path: Path) -> Iterator[Line]:
    """Yield what stands in the text between back quotes: verbs, with or without arguments."""
    for number, text in enumerate(path.read_text().splitlines(), 1):
        for found in _SPOKEN.findall(text):
            yield Line(f"{path.relative_to(TOP)}:{number}", tuple(_words(found)))


def _words(command: str) -> Iterator[str]:
    """Yield the words of the first command of a line of shell."""
    words = shlex.shlex(command, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    yield from itertools.takewhile(lambda word: word[0] not in "|;<>&()", words)


def parse(group: Any, words: tuple[str, ...], name: str) -> None:
    """Take a command apart as the program does, without running it; raises what the program would say."""
    context = group.make_context(name, list(words))
    while hasattr(group, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, group, rest = group.resolve_command(context, rest)
        context = group.make_context(name, rest, parent=context)


def unknown_word(group: Any, words: tuple[str, ...], name: str) -> str:
    """Return the first word that names no verb; empty if all do, as far as verbs go."""
    context = group.make_context(name, [], resilient_parsing=True)
    for word in words:
        if not hasattr(group, "get_command") or word.startswith("-"):
            return ""
        group = group.get_command(context, word)
        if group is None:
            return word
    return ""
