"""What happens when, decided by a seed: the same seed and shape give the same schedule on every machine.

Windows of drives never overlap on one drive, and never with a power cut of its node: what a drive suffers is known at
every moment, and so is whether a write that was acknowledged then must be kept.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Final, NamedTuple

MIB: Final = 1024 * 1024


class Kind(StrEnum):
    """What happens."""

    CREATE = "create"
    DELETE = "delete"
    EXPAND = "expand"
    START = "start"
    """Stage and publish; with ``amount`` 1, a container begins that has mounts of its own, as containers have."""
    STOP = "stop"
    """Unpublish and unstage."""
    WRITE = "write"
    READ = "read"
    STATS = "stats"

    PULL = "pull"
    """The drive is taken out; put back at the end of the window."""
    FAIL = "fail"
    """Reads and writes fail."""
    FAIL_WRITES = "fail-writes"
    FAIL_READS = "fail-reads"
    SLOW = "slow"
    HANG = "hang"

    KILL_AGENT = "kill-agent"
    KILL_GATEWAY = "kill-gateway"
    CUT = "cut"
    """The node's network cable is pulled."""
    CLOCK = "clock"
    """The node's clock jumps."""
    POWER = "power-cut"
    """The node loses its power, and boots again."""

    KILL_LEADER = "kill-leader"
    FREEZE_LEADER = "freeze-leader"
    """The leader is stopped for longer than its lease, and goes on."""
    KILL_BUS = "kill-bus"
    LOSE_BUS = "lose-bus"
    """The bus is killed, and loses all that it stored."""


class Window(NamedTuple):
    """How often something happens, relative to others, and how many seconds it lasts."""

    weight: int
    least: float
    most: float


DRIVE_FAULTS: Final = {
    Kind.PULL: Window(10, 0.2, 20),
    Kind.FAIL: Window(6, 0.5, 15),
    Kind.FAIL_WRITES: Window(6, 0.5, 15),
    Kind.FAIL_READS: Window(5, 0.5, 15),
    Kind.SLOW: Window(3, 3, 12),
    Kind.HANG: Window(5, 1, 12),
}
NODE_FAULTS: Final = {
    Kind.KILL_AGENT: Window(8, 0, 5),
    Kind.KILL_GATEWAY: Window(3, 0, 3),
    Kind.CUT: Window(4, 0.5, 12),
    Kind.CLOCK: Window(4, 0, 0),
    Kind.POWER: Window(3, 0, 3),
}
CENTRAL_FAULTS: Final = {
    Kind.KILL_LEADER: Window(5, 0, 5),
    Kind.FREEZE_LEADER: Window(2, 4, 8),
    Kind.KILL_BUS: Window(4, 0.1, 6),
    Kind.LOSE_BUS: Window(2, 0.1, 6),
}
FAULTS: Final = {**DRIVE_FAULTS, **NODE_FAULTS, **CENTRAL_FAULTS}
OPERATIONS: Final = {
    Kind.CREATE: 4,
    Kind.DELETE: 2,
    Kind.EXPAND: 2,
    Kind.START: 6,
    Kind.STOP: 3,
    Kind.WRITE: 12,
    Kind.READ: 5,
    Kind.STATS: 2,
}

BOOT_SECONDS: Final = 25.0
"""How long a node and its drives are left alone after a power cut."""
SLOW_MILLISECONDS: Final = (200, 2500)
CLOCK_JUMP_SECONDS: Final = 12 * 3600
VOLUME_SIZES: Final = (16 * MIB, 24 * MIB, 40 * MIB)
FILE_BYTES: Final = (1, 2 * MIB)
FILLED_AT_MOST: Final = 0.6
"""Of a volume: a write that finds no space would say nothing about faults."""
VOLUMES_AT_MOST: Final = 5
"""Volumes that live at the same time, per drive."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What there is to break, and for how long."""

    seconds: float
    nodes: int = 2
    drives: int = 3
    """Per node."""
    operation_gap: float = 0.8
    """Mean seconds between operations on volumes."""
    fault_gap: float = 4.0
    """Mean seconds between faults."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that happens."""

    at: float
    """Seconds since the begin."""
    kind: Kind
    volume: str = ""
    node: int = -1
    drive: int = -1
    """Of the node."""
    seconds: float = 0.0
    """How long it lasts."""
    amount: int = 0
    """Bytes of a volume or file, seconds of a clock's jump, milliseconds of a slow drive's requests, containers."""
    file: str = ""

    def __str__(self) -> str:
        where = f" n{self.node + 1}" * (self.node >= 0) + f"/{self.drive}" * (self.drive >= 0)
        what = f" {self.volume}" * bool(self.volume) + f"/{self.file}" * bool(self.file)
        window = f" for {self.seconds:.1f} s" * (self.seconds > 0)
        return f"{self.kind}{where}{what}" + f" ({self.amount})" * (self.amount != 0) + window


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
        self._made = 0
        self._written = 0

    def actions(self) -> Iterator[Action]:
        now = 0.0
        while (now := now + self._chance.expovariate(1 / self._shape.operation_gap)) < self._shape.seconds:
            yield self._next(round(now, 2))

    def _next(self, at: float) -> Action:
        possible = {kind: choices for kind in OPERATIONS if (choices := self._choices(kind))}
        (kind,) = self._chance.choices(list(possible), [OPERATIONS[kind] for kind in possible])
        return self._plan(at, kind, self._chance.choice(possible[kind]))

    def _choices(self, kind: Kind) -> list[str]:
        """Return the volumes with which it may be done."""
        if kind is Kind.CREATE:
            limit = VOLUMES_AT_MOST * self._shape.nodes * self._shape.drives
            return [f"pvc-{self._made:04d}"] if len(self._size) < limit else []
        if kind in (Kind.DELETE, Kind.EXPAND):
            return list(self._size)
        if kind is Kind.START:
            return [name for name in self._size if name not in self._started]
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
        return self._chance.randint(-CLOCK_JUMP_SECONDS, CLOCK_JUMP_SECONDS) if kind is Kind.CLOCK else 0

    def _wanted(self, kind: Kind, node: int, drive: int) -> list[object]:
        """Return what must be whole when it begins, and is left alone until it is over."""
        if kind is Kind.POWER:
            return [("node", node), *(("drive", node, index) for index in range(self._shape.drives))]
        if kind in NODE_FAULTS:
            return [("node", node)]
        if kind in DRIVE_FAULTS:
            return [("drive", node, drive)]
        return ["bus" if kind in (Kind.KILL_BUS, Kind.LOSE_BUS) else "leader"]
