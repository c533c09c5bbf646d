"""Drives in order of their free space, for one need; kept in step by :mod:`.placement`."""

from sortedcontainers import SortedList

from directpv_controller.core.wanted import Need

Key = tuple[int, float, str]
"""Place of a drive in every view: minus its free bytes, a random tie-break, its id."""


class View:
    """Drives that are open and meet one need, most free bytes first."""

    __slots__ = ("alive", "free", "keys", "need")

    def __init__(self, need: Need) -> None:
        self.need = need
        self.keys: SortedList[Key] = SortedList()
        self.free = 0
        """Sum of free bytes over all drives of the view."""
        self.alive = True
        """False once dropped; drives forget it when they next change."""

    @property
    def largest(self) -> int:
        """Most free bytes on one drive."""
        return -self.keys[0][0] if self.keys else 0
