"""What happens when, decided by a seed: the same seed and shape give the same schedule on every machine.

Windows of drives never overlap on one drive, and never with a power cut of its node: what a drive suffers is known at
every moment, and so is whether a write that was acknowledged then must be kept.
"""

import random
from collections.abc import Callable, Iterator
from itertools import chain

from chaos.kinds import (
    BOOT_SECONDS,
    CENTRAL_FAULTS,
    CLOCK_JUMP_SECONDS,
    DRIVE_FAULTS,
    FAULTS,
    FILE_BYTES,
    FILLED_AT_MOST,
    GROW_MIB,
    MIB,
    NODE_FAULTS,
    OPERATIONS,
    SLOW_MILLISECONDS,
    SUSPEND_SECONDS,
    SUSPENSIONS,
    VOLUME_SIZES,
    VOLUMES_AT_MOST,
    Action,
    Kind,
    Shape,
)


def schedule(seed: int, shape: Shape) -> list[Action]:
    """Return what happens, in order of time; every window has ended when ``shape.seconds`` are over."""
    operations = _Volumes(random.Random(f"volumes {seed}"), shape).actions()
    faults = _Faults(random.Random(f"faults {seed}"), shape).actions()
    return sorted(chain(operations, faults), key=lambda action: action.at)


class _Volumes:
    """Plans what is done with volumes, as if everything succeeded."""

    def __init__(self, chance: random.Random, shape: Shape) -> None:
        self._chance, self._shape = chance, shape
        self._size: dict[str, int] = {}
        self._filled: dict[str, int] = {}
        self._started: list[str] = []
        self._suspended: dict[str, float] = {}
        """Until when."""
        self._made = 0
        self._written = 0

    def actions(self) -> Iterator[Action]:
        now = 0.0
        while (now := now + self._chance.expovariate(1 / self._shape.operation_gap)) < self._shape.seconds:
            yield self._next(round(now, 2))

    def _next(self, at: float) -> Action:
        possible = {kind: choices for kind in OPERATIONS if (choices := self._choices(kind, at))}
        (kind,) = self._chance.choices(list(possible), [OPERATIONS[kind] for kind in possible])
        return self._plan(at, kind, self._chance.choice(possible[kind]))

    def _choices(self, kind: Kind, at: float) -> list[str]:
        """Return the volumes with which it may be done."""
        if kind is Kind.CREATE:
            limit = VOLUMES_AT_MOST * self._shape.nodes * self._shape.drives
            return [f"pvc-{self._made:04d}"] if len(self._size) < limit else []
        if kind in (Kind.DELETE, Kind.EXPAND):
            return list(self._size)
        if kind is Kind.START:
            return [name for name in self._size if name not in self._started]
        if kind is Kind.SUSPEND:
            left = self._shape.seconds - at > SUSPEND_SECONDS[0]
            return [name for name in self._size if left and self._suspended.get(name, 0.0) < at]
        if kind is Kind.WRITE:
            return [name for name in self._started if self._room(name) > 0]
        return list(self._started)

    def _room(self, name: str) -> int:
        return int(self._size[name] * FILLED_AT_MOST) - self._filled[name]

    def _plan(self, at: float, kind: Kind, name: str) -> Action:
        plans: dict[Kind, Callable[[float, str], Action]] = {
            Kind.CREATE: self._create,
            Kind.EXPAND: self._expand,
            Kind.WRITE: self._write,
            Kind.SUSPEND: self._suspend,
        }
        if kind in plans:
            return plans[kind](at, name)
        if kind is Kind.START:
            self._started.append(name)
            return Action(at, kind, name, amount=self._chance.randint(0, 1))
        elif kind in (Kind.STOP, Kind.DELETE) and name in self._started:
            self._started.remove(name)
        if kind is Kind.DELETE:
            del self._size[name], self._filled[name]
        return Action(at, kind, name)

    def _create(self, at: float, name: str) -> Action:
        self._made += 1
        self._size[name], self._filled[name] = self._chance.choice(VOLUME_SIZES), 0
        return Action(at, Kind.CREATE, name, amount=self._size[name])

    def _expand(self, at: float, name: str) -> Action:
        return Action(at, Kind.EXPAND, name, amount=self._size[name] + self._chance.randint(1, 8) * MIB)

    def _write(self, at: float, name: str) -> Action:
        size = min(self._chance.randint(*FILE_BYTES), self._room(name))
        self._filled[name] += size
        self._written += 1
        return Action(at, Kind.WRITE, name, amount=size, file=f"f{self._written:05d}")

    def _suspend(self, at: float, name: str) -> Action:
        seconds = int(10 * min(self._chance.uniform(*SUSPEND_SECONDS), self._shape.seconds - at)) / 10
        self._suspended[name] = at + seconds
        return Action(at, Kind.SUSPEND, name, seconds=seconds)


class _Faults:
    """Plans what fails."""

    def __init__(self, chance: random.Random, shape: Shape) -> None:
        self._chance, self._shape = chance, shape
        self._busy: dict[object, float] = {}
        """Until when a drive, a node or the middle is left alone."""

    def actions(self) -> Iterator[Action]:
        now = 0.0
        while (now := now + self._chance.expovariate(1 / self._shape.fault_gap)) < self._shape.seconds:
            action = self._fault(round(now, 2))
            if action is not None and action.at + action.seconds <= self._shape.seconds:
                yield action

    def _fault(self, at: float) -> Action | None:
        (kind,) = self._chance.choices(list(FAULTS), [window.weight for window in FAULTS.values()])
        seconds = round(self._chance.uniform(FAULTS[kind].least, FAULTS[kind].most), 1)
        node, drive = self._chance.randrange(self._shape.nodes), self._chance.randrange(self._shape.drives)
        amount = self._amount(kind)
        if kind in CENTRAL_FAULTS:
            node = drive = -1
        elif kind in NODE_FAULTS:
            drive = -1
        wanted = self._wanted(kind, node, drive)
        if any(self._busy.get(what, 0.0) > at for what in wanted):
            return None
        lasts = seconds + (BOOT_SECONDS if kind is Kind.POWER else 1.0)
        self._busy.update((what, at + lasts) for what in wanted)
        return Action(at, kind, node=node, drive=drive, seconds=seconds, amount=amount)

    def _amount(self, kind: Kind) -> int:
        if kind is Kind.SLOW:
            return self._chance.randint(*SLOW_MILLISECONDS)
        if kind is Kind.GROW:
            return self._chance.randint(*GROW_MIB)
        if kind in (Kind.REPAIR, Kind.LOSE_REGISTRY):
            return self._chance.randint(0, 1)
        return self._chance.randint(-CLOCK_JUMP_SECONDS, CLOCK_JUMP_SECONDS) if kind is Kind.CLOCK else 0

    def _wanted(self, kind: Kind, node: int, drive: int) -> list[object]:
        """Return what must be whole when it begins, and is left alone until it is over."""
        if kind is Kind.POWER:
            return [("node", node), *(("drive", node, index) for index in range(self._shape.drives))]
        if kind in NODE_FAULTS:
            return [("node", node)]
        if kind is Kind.CLONE:
            return [("drive", node, drive), ("copy", node)]
        if kind in DRIVE_FAULTS:
            return [("drive", node, drive)]
        if kind in SUSPENSIONS:
            return [("suspension", node, drive)]
        return ["bus" if kind in (Kind.KILL_BUS, Kind.LOSE_BUS) else "leader"]
