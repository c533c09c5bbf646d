"""What must be true: what was acknowledged, and what each drive suffered when."""

import hashlib
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from chaos.schedule import Kind

HARMLESS: Final = frozenset({Kind.SLOW, Kind.HANG})
"""Faults after which no acknowledged write may be missing: what was acknowledged meanwhile was on the disk."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file whose writer was told that it is on the disk."""

    digest: str
    counts: bool
    """Whether its drive was well all the time: then it must be there for ever."""


@dataclass
class Volume:
    """One volume, as its user knows it."""

    name: str
    capacity: int
    """The one that was acknowledged last."""
    wanted: int = 0
    """The one that was asked for last: after an unanswered call, either may hold."""
    node: str = ""
    drive: str = ""
    """FSUUID."""
    context: dict[str, str] = field(default_factory=dict)
    created: bool = False
    delete_asked: bool = False
    deleted: bool = False
    in_use: bool = False
    """Whether it may be mounted: nobody deletes it before an unstage was acknowledged."""
    container: bool = False
    """Whether a container runs that holds the file system, as long as nobody restarts it."""
    started: bool = False
    """Whether stage and publish were acknowledged, and nothing since then."""
    files: dict[str, Written] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """Whether it must be there."""
        return self.created and not self.delete_asked


@dataclass(eq=False)
class Fault:
    """Something that happens to a drive or node; it has no end before it was noted."""

    kind: Kind
    since: float
    until: float = float("inf")

    def end(self, now: float) -> None:
        """Note that it is over; others may go on."""
        self.until = now


@dataclass
class _Said:
    """An unbroken run of equal statements of the product about a drive: when it was asked first, and last."""

    well: bool
    first: float
    last: float


class History:
    """What drives and nodes suffered, and what the product said of drives since; times are monotonic seconds."""

    def __init__(self) -> None:
        self._faults: dict[str, list[Fault]] = {}
        self._said: dict[str, _Said] = {}

    def begin(self, what: str, kind: Kind, now: float) -> Fault:
        """Note that a fault of a drive or node begins. What was said of it before does not count any more."""
        fault = Fault(kind, now)
        self._faults.setdefault(what, []).append(fault)
        self._said.pop(what, None)
        return fault

    def said(self, drive: str, asked: float, *, well: bool) -> None:
        """Note what the product, ``asked`` then, said of a drive; while something happens to it, that says nothing."""
        if not self.well(drive, asked):
            return
        run = self._said.get(drive)
        if run is None or run.well is not well:
            run = self._said[drive] = _Said(well, asked, asked)
        run.last = asked

    def said_for(self, drive: str, *, well: bool) -> float:
        """Return for how many seconds the product has said that a drive is well (or is not), without a break."""
        run = self._said.get(drive)
        return run.last - run.first if run is not None and run.well is well else 0.0

    def well(self, what: str, since: float, but: Iterable[Kind] = ()) -> bool:
        """Tell whether nothing, ``but`` such faults, happened to it from ``since`` until now."""
        return all(fault.until < since or fault.kind in but for fault in self._faults.get(what, []))

    def must_keep(self, drive: str, since: float) -> bool:
        """Tell whether a write to the drive that began at ``since`` and was acknowledged now may never be lost."""
        return self.well(drive, since, HARMLESS)


def content(key: str, size: int) -> bytes:
    """Return what is written to a file."""
    return random.Random(key).randbytes(size)


def digest(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def wrong_content(volume: Volume, found: Mapping[str, str]) -> list[str]:
    """Return the files whose content is not what was written; those that cannot be found are left out."""
    return [
        f"{volume.name}/{file} on {volume.drive} has another content than was written"
        for file, written in volume.files.items()
        if written.counts and found.get(file, written.digest) != written.digest
    ]


def missing_files(volume: Volume, found: Mapping[str, str]) -> list[str]:
    """Return the files that were acknowledged on a drive that was well, and are not there."""
    return [
        f"{volume.name}/{file} on {volume.drive} is lost, though it was acknowledged"
        for file, written in volume.files.items()
        if written.counts and file not in found
    ]
