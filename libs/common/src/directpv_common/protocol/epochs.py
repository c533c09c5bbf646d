"""What can be the epoch of a leader: about the seconds of the calendar when it was elected, and one more per take-over.

An epoch far ahead of the calendar is nobody's: a person or a program wrote it. To follow it would end fencing for good,
since no later one could be told from it any more. So two bounds hold: what is found is followed up to
:data:`AHEAD_SECONDS` ahead of the calendar; what a leader may have made of that, on a machine whose clock is behind,
is believed, and nothing beyond it.
"""

import time
from typing import Final

YEAR: Final = 31_557_600
AHEAD_SECONDS: Final = 1_000 * YEAR
"""A clock may be wrong by decades; no clock is wrong by so much."""
SLACK_SECONDS: Final = YEAR
WRITTEN: Final = 1_764_000_000
"""When this was written (2025): a calendar that says less is wrong."""
EPOCH_AT_MOST: Final = 2**40
"""Bound of an epoch in a message: the year 36,800."""
_DIGITS_AT_MOST: Final = 18


def may_be_followed(epoch: int) -> bool:
    """Tell whether a leader may take ``epoch``, found somewhere, for that of an earlier one."""
    return 0 <= epoch <= _calendar() + AHEAD_SECONDS


def epoch_in(text: str | None) -> int | None:
    """Return the epoch that ``text`` says; None: it says none that can be somebody's."""
    if not text or not text.isascii() or not text.isdigit() or len(text) > _DIGITS_AT_MOST:
        return None
    epoch = int(text)
    return epoch if epoch <= _calendar() + AHEAD_SECONDS + SLACK_SECONDS else None


def next_epoch(last: int) -> int:
    """Return the epoch of a leader after one of epoch ``last``: never behind the calendar.

    So it grows even when what kept the last one was lost, or an old copy of it was restored.
    """
    now = int(time.time())
    return max(last + 1, now) if may_be_followed(last) else now


def _calendar() -> float:
    return max(time.time(), WRITTEN)
