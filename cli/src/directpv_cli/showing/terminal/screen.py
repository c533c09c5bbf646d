"""What a stream leads to: a terminal with its width, colours and letters, or a pipe."""

import os
import re
import shutil
import sys
from typing import Final, TextIO

from directpv_cli.reading.settings import settings

_STYLES: Final = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "bold": 1, "bold cyan": 36}
_MARKS: Final = re.compile(r"\\\[|\[/?(?:red|green|yellow|cyan|bold|bold cyan)\]")


def bordered() -> bool:
    """Tell whether tables have frames: on a terminal, unless ``--plain``."""
    return not settings.plain and sys.stdout.isatty()


def columns() -> int:
    """Return how wide standard output is; COLUMNS says otherwise."""
    return max(20, shutil.get_terminal_size().columns)


def says_unicode(stream: TextIO) -> bool:
    """Tell whether frames and bullets can be printed."""
    return (stream.encoding or "").lower().replace("-", "").startswith("utf")


def coloured(stream: TextIO) -> bool:
    """Tell whether colours shall be used. Source: https://no-color.org; TERM=dumb obeys nothing."""
    plain = settings.plain or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return not plain and stream.isatty()


def paint(text: str, style: str) -> str:
    """Return ``text`` in one of our styles. Source: ECMA-48, SGR."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def unpainted(text: str, style: str) -> str:
    """Return ``text`` as it is, for what has no colours."""
    return text


def rendered(markup: str, *, colours: bool) -> str:
    """Return a line with ``[red]…[/red]`` and the like as colours, or without them; nothing else is a mark."""

    def mark(found: re.Match[str]) -> str:
        word = found[0].strip("[]/")
        if found[0] == "\\[":
            return "["
        return "" if not colours else "\x1b[0m" if found[0].startswith("[/") else f"\x1b[{_STYLES[word]}m"

    return _MARKS.sub(mark, markup)


def escaped(text: str) -> str:
    """Return ``text`` so that :func:`rendered` shows it as it is."""
    return text.replace("[", "\\[")
