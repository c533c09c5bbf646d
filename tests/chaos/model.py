"""What must be true: what was acknowledged, and what each drive suffered when."""

import asyncio
import hashlib
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from chaos.kinds import Kind
from directpv_common.protocol.messages import HeldDrive

HARMLESS: Final = frozenset({Kind.SLOW, Kind.HANG, Kind.FULL, Kind.CLONE, Kind.REPAIR})
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
    first: int = 0
    """The one that was acknowledged first, which its pods bring with them."""
    wanted: int = 0
    """The one that was asked for last: after an unanswered call, either may hold."""
    node: str = ""
    drive: str = ""
    """FSUUID."""
    context: dict[str, str] = field(default_factory=dict)
    created: bool = False
    delete_asked: bool = False
    deleted: bool = False
    deleted_at: float = float("inf")
    in_use: bool = False
    """Whether it may be mounted: nobody deletes it before an unstage was acknowledged."""
    container: bool = False
    """Whether a container runs that holds the file system, as long as nobody restarts it."""
    started: bool = False
    """Whether stage and publish were acknowledged, and nothing since then."""
    served: bool = True
    """Whether what it started with is certainly its data: nobody suspended it or its drive meanwhile."""
    on_drive: int = 0
    """Capacity that its drive's record of it was last seen to have; 0: none was seen."""
    purged: bool = False
    """Whether its drive was seen without it after its deletion."""
    unsure: bool = False
    """Whether a registry was lost that may have been the only one to know it: its pods bring it back."""
    may_return: bool = False
    """Whether a registry was lost that may have been the only one to know that it was deleted."""
    asked: float = float("inf")
    """When its creation was first asked for."""
    made: float = float("inf")
    """When that was acknowledged."""
    twice: bool = False
    """Whether a registry was lost between question and answer of its creation: two drives may hold it."""
    files: dict[str, Written] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """Whether it must be there."""
        return self.created and not self.delete_asked

    def seen(self, held: HeldDrive, asked: float) -> None:
        """Note what its drive, which can be read, holds of it, as its agent said that was ``asked`` then."""
        found = [volume.record for volume in held.volumes if volume.record.name == self.name]
        if found:
            self.on_drive = found[0].capacity
            self.unsure = False
        elif self.deleted_at < asked and self.name not in held.purging:
            self.purged = True

    def registry_lost(self) -> None:
        """Note that what only the registry knew of it is lost."""
        if self.created and not self.on_drive:
            self.unsure = True
        if self.created:
            self.capacity = min(self.capacity, self.on_drive or self.first)
        self.may_return = self.may_return or (self.delete_asked and not self.purged)
        self.twice = self.twice or (self.asked < float("inf") and not self.created)


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


QUIET_SECONDS: Final = 30.0
"""After an agent has said for so long that a drive is well, volumes of it that were in use must work."""
CALL_SECONDS: Final = 30.0
"""How long a call is repeated during the chaos; kubelet would go on, and the settling does."""
RECONNECT_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.5


class Told(NamedTuple):
    """What an agent that was asked at that time said of a drive."""

    asked: float
    held: HeldDrive


class History:
    """What drives and nodes suffered, and what the product said of drives since; times are monotonic seconds."""

    def __init__(self) -> None:
        self.told: dict[str, Told] = {}
        """The latest words about each drive, also while something happens to it."""
        self._faults: dict[str, list[Fault]] = {}
        self._said: dict[str, _Said] = {}
        self.losses: list[float] = []
        """When a registry was lost."""

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

    def faults(self, what: str) -> Iterable[Fault]:
        """Return all that happened to it, in the order of its begin."""
        return tuple(self._faults.get(what, []))

    def well(self, what: str, since: float, but: Iterable[Kind] = ()) -> bool:
        """Tell whether nothing, ``but`` such faults, happened to it from ``since`` until now."""
        return all(fault.until < since or fault.kind in but for fault in self._faults.get(what, []))

    def had_to_answer(self, volume: Volume, now: float) -> bool:
        """Tell whether a call of kubelet's about it could have been answered all the time for which it was repeated."""
        quiet = self.said_for(volume.drive, well=True) >= QUIET_SECONDS + CALL_SECONDS
        since = now - CALL_SECONDS - RECONNECT_SECONDS
        return quiet and all(self.well(what, since) for what in (agent_of(volume.node), BUS))

    def served(self, volume: Volume, since: float) -> bool:
        """Tell whether neither the volume nor its drive was suspended at any time from ``since`` until now."""
        return all(self.well(suspension(what), since) for what in (volume.name, volume.drive))

    def must_keep(self, drive: str, since: float) -> bool:
        """Tell whether a write to the drive that began at ``since`` and was acknowledged now may never be lost."""
        return self.well(drive, since, HARMLESS)


async def until_told(
    history: History, drive: str, so: Callable[[HeldDrive], bool], since: float, within: float
) -> float | None:
    """Wait until the drive's agent, asked after ``since``, says what is wanted; return when it was asked, or None."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        told = history.told.get(drive)
        if told is not None and told.asked > since and so(told.held):
            return told.asked
        await asyncio.sleep(LOOK_SECONDS)
    return None


BUS: Final = "bus"
"""Name under which faults of the bus stand in the history."""


def suspension(what: str) -> str:
    """Return the name under which suspensions of a volume or a drive stand in the history."""
    return f"suspension of {what}"


def agent_of(node: str) -> str:
    """Return the name under which the death of a node's agent, gateway and connection stand in the history."""
    return f"agent of {node}"


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
