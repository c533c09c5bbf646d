"""How often somebody may have something done (a token bucket), so that none of many takes the time of the others."""

from collections import OrderedDict
from typing import Final

REMEMBERED: Final = 10_000
"""Of those who ask; who was not heard for longest is forgotten first."""


class Pace:
    """How often each may be heard: so many at once, and so many a second from then on (a token bucket)."""

    def __init__(self, at_once: int, each_second: float) -> None:
        self._at_once, self._each_second = at_once, each_second
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What each had left, and when."""

    def allows(self, who: str, now: float) -> bool:
        """Tell whether he may be heard now, and count it if so; ``now``: seconds of any clock that goes on."""
        left, since = self._left.pop(who, (float(self._at_once), now))
        left = min(float(self._at_once), left + (now - since) * self._each_second)
        allowed = left >= 1.0
        self._left[who] = (left - 1.0 if allowed else left, now)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        return allowed
