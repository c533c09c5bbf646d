"""Drives that meet one need, the one with most free bytes first; kept in step by :mod:`.placement`.

A heap whose entries may be too good: a drive that lost space keeps its entry, which is put right when it comes to the
top. So a reservation costs the other views that hold the drive one addition each, however many there are.
"""

from collections.abc import Callable, Iterator, Mapping
from heapq import heappop, heappush, heapreplace
from typing import Final, Protocol

from directpv_controller.core.placing.wanted import Need

Key = tuple[int, float, str]
"""Place of a drive in every order: minus its free bytes, a random tie-break, its id."""

_SPARE: Final = 1_000
"""Entries of the past that are always allowed."""


class Member(Protocol):
    """What a view needs of a drive."""

    key: Key
    views: "list[View]"
    tops: list[Key]


class View:
    """Drives that are open and meet one need."""

    __slots__ = ("alive", "free", "heap", "members", "need", "rest")

    def __init__(self, need: Need) -> None:
        self.need = need
        self.heap: list[Key] = []
        self.members = 0
        self.free = 0
        """Sum of free bytes over all drives of the view."""
        self.alive = True
        """False once dropped; drives forget it when they next change."""
        self.rest: Iterator[None] | None = None
        """What is left to do until all drives are in it; None: nothing."""

    @property
    def bloated(self) -> bool:
        """Whether most entries are of the past."""
        return len(self.heap) > 2 * self.members + _SPARE

    def enter(self, drive: Member) -> None:
        """Take a drive in."""
        key = drive.key
        drive.views.append(self)
        drive.tops.append(key)
        heappush(self.heap, key)
        self.members += 1
        self.free -= key[0]

    def follow(self, old: Key, new: Key, top: Key) -> Key:
        """Follow a drive whose key changed; ``top`` is the best that the heap has of it. Return what that is now."""
        self.free += old[0] - new[0]
        if new[0] >= top[0]:
            return top
        heappush(self.heap, new)
        return new

    def leave(self, key: Key) -> None:
        """Forget a drive that had this key; its entry goes when it comes to the top."""
        self.members -= 1
        self.free += key[0]

    def drop(self) -> None:
        """End: nobody asks it any more."""
        self.alive, self.rest = False, None
        self.heap.clear()

    def top(self, drives: Mapping[str, Member]) -> Key | None:
        """Return the key of the drive with most free bytes; None if there is none."""
        heap = self.heap
        while heap:
            entry = heap[0]
            drive = drives.get(entry[2])
            at = _at(drive, self)
            if drive is None or at < 0 or drive.tops[at] is not entry:
                heappop(heap)
            elif drive.key is entry:
                return entry
            else:
                drive.tops[at] = drive.key
                heapreplace(heap, drive.key)
        return None

    def first(self, drives: Mapping[str, Member], fits: Callable[[Key], bool], at_least: int) -> Key | None:
        """Return the first drive that ``fits``, of those with so many free bytes; None if none does."""
        aside: list[Key] = []
        try:
            while (key := self.top(drives)) is not None and -key[0] >= at_least:
                if fits(key):
                    return key
                aside.append(heappop(self.heap))
            return None
        finally:
            for key in aside:
                heappush(self.heap, key)


def _at(drive: Member | None, view: View) -> int:
    if drive is not None:
        for at, other in enumerate(drive.views):
            if other is view:
                return at
    return -1
