"""What can happen to a world and its volumes, how often, and for how long."""

from dataclasses import dataclass
from enum import StrEnum
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
    SUSPEND = "suspend"
    """Its next pods find an empty directory; resumed at the end of the window."""

    PULL = "pull"
    """The drive is taken out; put back at the end of the window."""
    FAIL = "fail"
    """Reads and writes fail."""
    FAIL_WRITES = "fail-writes"
    FAIL_READS = "fail-reads"
    SLOW = "slow"
    HANG = "hang"
    FULL = "full"
    """Something beside the volumes takes all the space of the drive; removed at the end of the window."""
    CLONE = "clone"
    """A copy of the drive, with the same FSUUID, is plugged in; taken out at the end of the window."""
    GROW = "grow"
    """The disk grows, for good, by ``amount`` MiB."""
    REPAIR = "repair"
    """People ask for a repair; with ``amount`` 1, after all pods that use the drive were ended, which are restarted."""
    SUSPEND_DRIVE = "suspend-drive"
    """As :attr:`SUSPEND`, of all volumes of a drive; it takes no new ones."""

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
    LOSE_REGISTRY = "lose-registry"
    """The registry's file is removed; with ``amount`` 1 while no controller runs, for so many seconds."""


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
    Kind.FULL: Window(4, 2, 15),
    Kind.CLONE: Window(4, 1, 15),
    Kind.GROW: Window(4, 0, 0),
    Kind.REPAIR: Window(7, 0, 0),
}
SUSPENSIONS: Final = {
    Kind.SUSPEND_DRIVE: Window(5, 2, 20),
}
"""Of drives, whatever else happens to these."""
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
    Kind.LOSE_REGISTRY: Window(3, 0, 4),
}
FAULTS: Final = {**DRIVE_FAULTS, **SUSPENSIONS, **NODE_FAULTS, **CENTRAL_FAULTS}
OPERATIONS: Final = {
    Kind.CREATE: 4,
    Kind.DELETE: 2,
    Kind.EXPAND: 2,
    Kind.START: 6,
    Kind.STOP: 3,
    Kind.WRITE: 12,
    Kind.READ: 5,
    Kind.STATS: 2,
    Kind.SUSPEND: 1,
}
SUSPEND_SECONDS: Final = (1.0, 20.0)
"""How long a volume is suspended."""

BOOT_SECONDS: Final = 25.0
"""How long a node and its drives are left alone after a power cut."""
SLOW_MILLISECONDS: Final = (200, 2500)
GROW_MIB: Final = (16, 64)
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
    """Bytes of a volume or file, seconds of a clock's jump, milliseconds of a slow drive's requests, containers, MiB by
    which a disk grows, or which way something is done (see :class:`Kind`)."""
    file: str = ""

    def __str__(self) -> str:
        where = f" n{self.node + 1}" * (self.node >= 0) + f"/{self.drive}" * (self.drive >= 0)
        what = f" {self.volume}" * bool(self.volume) + f"/{self.file}" * bool(self.file)
        window = f" for {self.seconds:.1f} s" * (self.seconds > 0)
        return f"{self.kind}{where}{what}" + f" ({self.amount})" * (self.amount != 0) + window
