"""What may start now, and how long all of it takes: decisions, without I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

FULL: Final = 1.3
"""Share of the processors that suites side by side may ask for: each of them waits at times, seldom all at once."""
_ROUNDING: Final = 1e-6


@dataclass(frozen=True)
class Load:
    """A suite that waits or runs, or a step."""

    name: str
    left: float
    """Seconds that it still takes."""
    cores: float = 0.0
    """It keeps busy."""
    needs: tuple[str, ...] = ()
    """Steps that come first."""
    behind: str = ""
    """A suite that is to find room before it."""


def startable(waiting: Iterable[Load], running: Iterable[Load], ready: Iterable[str], cores: float) -> list[Load]:
    """Return what may start beside what runs.

    In the order given; one that is too large for what is left lets smaller ones pass, but for those that stay behind
    it. Alone, everything may run.
    """
    there, most = set(ready), FULL * cores + _ROUNDING
    waiting = list(waiting)
    busy, started, ahead = [load.cores for load in running], [], {load.name for load in waiting}
    for load in waiting:
        has_room = sum(busy) + load.cores <= most and load.behind not in ahead
        if there.issuperset(load.needs) and (not busy or has_room):
            busy.append(load.cores)
            started.append(load)
            ahead.discard(load.name)
    return started


def time_left(
    waiting: Sequence[Load], running: Sequence[Load], steps: Sequence[Load], ready: Iterable[str], cores: float
) -> float:
    """Return seconds until everything has ended, if all takes what is expected; steps go one after the other.

    Suites that keep more processors busy than there are take longer by as much.
    """
    there, passed = set(ready), 0.0
    waiting, running, steps = list(waiting), list(running), list(steps)
    while waiting or running or steps:
        started = startable(waiting, running, there, cores)
        waiting = [load for load in waiting if load not in started]
        running += started
        if not running and not steps:
            break  # what still waits needs a step that failed
        slower = max(1.0, sum(load.cores for load in running) / cores)
        next_ends = min([*(load.left * slower for load in running), *(step.left for step in steps[:1])])
        passed += next_ends
        done = next_ends / slower
        running = [replace(load, left=load.left - done) for load in running if load.left > done + _ROUNDING]
        if steps:
            first = replace(steps[0], left=steps[0].left - next_ends)
            steps = [first, *steps[1:]] if first.left > 0 else steps[1:]
            there |= {first.name} if first.left <= 0 else set()
    return passed
