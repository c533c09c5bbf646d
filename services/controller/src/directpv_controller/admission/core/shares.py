"""What strangers may take of what there is for all of them: never so much that others wait for them."""

from collections import Counter


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
