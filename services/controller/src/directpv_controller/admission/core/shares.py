"""What strangers may take of what there is for all of them: never so much that others wait for them."""

from collections import Counter, OrderedDict
from typing import Final

REMEMBERED: Final = 10_000
"""Addresses; who was not heard for longest is forgotten first."""


class Shares:
    """Places for those who wait for an answer: a number for all, and a smaller one for each who asks."""

    def __init__(self, for_all: int, for_each: int) -> None:
        self._for_all, self._for_each = for_all, for_each
        self._taken: Counter[str] = Counter()

    def take(self, who: str) -> bool:
        """Take a place; False: there is none for him now."""
        if self._taken.total() >= self._for_all or self._taken[who] >= self._for_each:
            return False
        self._taken[who] += 1
        return True

    def give(self, who: str) -> None:
        """Give a place back."""
        self._taken[who] -= 1
        if not self._taken[who]:
            del self._taken[who]


class Pace:
    """How often each may be decided about: so many at once, and so many a second from then on (a token bucket)."""

    def __init__(self, at_once: int, each_second: float) -> None:
        self._at_once, self._each_second = at_once, each_second
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What each had left, and when."""

    def allows(self, who: str, now: float) -> bool:
        """Tell whether he may be decided about now, and count it if so; ``now``: seconds of any clock that goes on."""
        left, since = self._left.pop(who, (float(self._at_once), now))
        left = min(float(self._at_once), left + (now - since) * self._each_second)
        allowed = left >= 1.0
        self._left[who] = (left - 1.0 if allowed else left, now)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        return allowed
