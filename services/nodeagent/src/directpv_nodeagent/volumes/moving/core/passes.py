"""What rsync is told, what its output and its exit status mean, and when the next pass is worth its reading."""

import errno
import re
from collections import deque
from typing import Final, NamedTuple

from directpv_common.protocol.units import KIB

_PROGRESS: Final = re.compile(rb"\s*([0-9][0-9,.]*)\s+\d+%\s")
_SHARE: Final = re.compile(r"[0-9][0-9,.]*\s+\d+%\s+\S+\s+\d+:\d\d:\d\d(\s+\([^)]*\))?")
"""A piece of progress, which what is said after it follows on the same line."""
_ALL: Final = 0
_SOME_NOT: Final = 23
_VANISHED: Final = 24
"""Exit status of rsync: source files went while it ran. Source: rsync(1), "EXIT VALUES"."""
_ERROR: Final = re.compile(rb" \((\d+)\)")
"""The number of a system's error, as rsync says it."""
_CHANGED: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ESTALE})
"""What opening a file says that was another kind of file, or in another directory, when it was listed."""
_WORDS_AT_MOST: Final = 600
_FACTOR: Final = 10
LEAST_PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 600.0
_WINDOW: Final = 10.0
"""Seconds over which a rate is told."""


def arguments(limit: int) -> tuple[str, ...]:
    """Return how rsync is called, in its jail.

    In place, for a second copy of a large file would not fit into the volume's limit; what is gone from the source goes
    first, for the same reason. All that a file has beside its data: hard links, ACLs, attributes, holes, owners as
    numbers, and times to the nanosecond. Not our own attributes: that this copy is complete says nothing of the next.
    Nor those of the system, which rsync leaves out by itself only as long as it is told of no others; ACLs come by -A.

    Args:
        limit: Bytes per second; 0: none.
    """
    options = (
        "-aHAXS",
        "--numeric-ids",
        "--inplace",
        "--delete-before",
        "--no-whole-file",
        "--no-human-readable",
        "--modify-window=-1",
        "--filter=-x system.*",
        "--filter=-x trusted.directpv.*",
    )
    slow = (f"--bwlimit={max(1, limit // KIB)}",) if limit else ()
    return ("rsync", *options, *slow, "--info=progress2", "/source/", "/target/")


def progress(output: bytes, before: int) -> int:
    """Return the bytes that rsync has been through, by the last piece of its output; ``before`` if that does not tell.

    >>> progress(b"\\r    32768  50%   31.25MB/s    0:00:00 (xfr#1)", 0)
    32768
    """
    found = _PROGRESS.findall(output)
    return int(re.sub(rb"[,.]", b"", found[-1])) if found else before


def is_done(status: int, output: bytes, *, last: bool) -> bool:
    """Tell whether a pass did its work; in all but the last, files may go or become something else while it runs."""
    if status == _ALL or last:
        return status == _ALL
    errors = {int(number) for number in _ERROR.findall(output)}
    return status == _VANISHED or (status == _SOME_NOT and bool(errors) and errors <= _CHANGED)


def said(output: bytes) -> str:
    """Return what rsync said of what went wrong, without its progress."""
    words = _SHARE.sub("", output.decode(errors="replace"))
    return "; ".join(filter(None, map(str.strip, re.split(r"[\r\n]+", words))))[:_WORDS_AT_MOST]


def failure(status: int, output: bytes) -> str:
    """Return what a pass that failed means, in words."""
    how = f"rsync was ended by signal {-status}" if status < 0 else f"rsync ended with status {status}"
    what = "not everything could be read or written" if status == _SOME_NOT else how
    return f"{what}: {said(output) or 'it did not say why'}"


def pause_after(seconds: float) -> float:
    """Return how long to wait, after a pass of ``seconds``, until the next one, while a pod keeps the volume.

    >>> pause_after(0.1), pause_after(30.0)
    (2.0, 300.0)
    """
    return min(max(_FACTOR * seconds, LEAST_PAUSE), LONGEST_PAUSE)


class Sample(NamedTuple):
    """How far something was, when."""

    at: float
    done: int


class Rate:
    """Bytes per second over the last seconds."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()

    def note(self, at: float, done: int) -> None:
        """Take a sample; a smaller figure than the last begins anew."""
        if self._samples and done < self._samples[-1].done:
            self._samples.clear()
        self._samples.append(Sample(at, done))
        while len(self._samples) > 2 and self._samples[0].at < at - _WINDOW:
            self._samples.popleft()

    @property
    def per_second(self) -> int:
        """The rate; 0 if it is not known yet."""
        if len(self._samples) < 2:
            return 0
        first, last = self._samples[0], self._samples[-1]
        return int((last.done - first.done) / max(last.at - first.at, 1e-3))
