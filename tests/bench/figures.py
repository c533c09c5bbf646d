"""The table of what users wait for: each row beside the build before (BASE), its floor, and what is aimed at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.measure import mib, ms, show


@dataclass(frozen=True)
class Figure:
    """One row as one build gave it; ``floor`` is the same without us, measured in the same run."""

    row: str
    value: float
    floor: float | None = None


Figures = Sequence[Figure]


@dataclass(frozen=True)
class Row:
    """What is measured, by which benchmark, how it is written, and what it should be."""

    name: str
    by: str
    shown: Callable[[float], str]
    aim: str
    more_is_better: bool = False


def number(value: float) -> str:
    """A count, or bytes."""
    return f"{value:,.0f}"


def one_digit(value: float) -> str:
    """A rate that is small."""
    return f"{value:.1f}"


def ratio(value: float) -> str:
    """A part of something else."""
    return f"{value:.2f} ×"


def percent(value: float) -> str:
    """A part of one core."""
    return f"{100 * value:.2f} %"


CLAIMS = "claims bound per second: 100 simulated nodes, scheduler, provisioner"
SETTLED = "a pulled drive → CSIStorageCapacity, 2,000 nodes, slowest of 3"
RATE, ALONE = "CreateVolume, 64 at once, 100,000 drives, per second", "CreateVolume, one after another, p50"
SHAPES, BLOCK = "CreateVolume, costliest shape, CPU of the cheapest ÷ its own", "longest block of the leader's loop"
NODE, CROWDED = "stage + publish + unpublish + unstage, p50", "the same beside 4,000 mounts"
TAKEOVER = "take-over with 1,000,000 volumes, leader killed"
DRIVE, VOLUME = "controller's bytes per drive", "controller's bytes per volume"
AGENT = "agent's memory, 24 drives without volumes"
NODE_START = "restarted agent has 60 drives, 3,000 volumes again"
NODE_PEAK = "its memory then, at most"
NODE_FULL = "agent's memory, 24 drives × 80 volumes"
EVENT = "a drive appears → its event on the bus, p50"
IDLE = "idle CPU of the agent, 24 drives"
KUBE, KUBE_RATE = "CreateVolume with custom resources ÷ a bare create, p50", "the same, 64 at once, per second"

ROWS = (
    Row(RATE, "create", number, "≥ 0.9 of the floor", more_is_better=True),
    Row(ALONE, "create", ms, ""),
    Row(SHAPES, "shapes", ratio, "≥ 0.9 ×", more_is_better=True),
    Row(BLOCK, "shapes", ms, "≤ 20 ms"),
    Row(NODE, "node", ms, ""),
    Row(CROWDED, "node", ms, "as without them"),
    Row(TAKEOVER, "takeover", ms, "≤ 4 s"),
    Row(DRIVE, "footprint", number, "≤ 1,100"),
    Row(VOLUME, "footprint", number, "≤ 600"),
    Row(AGENT, "idle", mib, "≤ 50 MiB"),
    Row(IDLE, "idle", percent, "≤ 0.3 %"),
    Row(NODE_START, "agent", ms, "≤ 4 s"),
    Row(NODE_PEAK, "agent", mib, "≤ 90 MiB"),
    Row(NODE_FULL, "agent", mib, "≤ 50 MiB"),
    Row(EVENT, "events", ms, "p99 ≤ 50 ms"),
    Row(KUBE, "kubernetes", ratio, "≤ 1.9 ×"),
    Row(KUBE_RATE, "kubernetes", number, "≥ 550", more_is_better=True),
    Row(CLAIMS, "scale", one_digit, "≥ 28", more_is_better=True),
    Row(SETTLED, "scale", ms, "≤ 60 s"),
)
MAKE = {"kubernetes": "make bench-k8s", "scale": "make bench-scale"}
UNMEASURED = (
    ("registry rebuilt from 1,000 nodes × 24 drives × 40 volumes", "no benchmark plays so many agents"),
    ("200 claims on three nodes, bound and running", "a test of tests/e2e waits for that; nothing prints it"),
    ("beside upstream's controller", "its image is not built here"),
)


def show_table(today: Mapping[str, Figure], base: Mapping[str, Figure], build: str) -> None:
    """Print all rows; what was not measured says so."""
    columns = ["what", "this build", build or "BASE not given", "÷", "floor", "÷ floor", "aim"]
    rows = [_line(row, today.get(row.name), base.get(row.name)) for row in ROWS]
    rows += [[name, f"not measured: {why}", "", "", "", "", ""] for name, why in UNMEASURED]
    show("What users wait for", columns, rows)


def _line(row: Row, now: Figure | None, before: Figure | None) -> list[str]:
    if now is None:
        how = MAKE.get(row.by, f"python -m bench {row.by}")
        return [row.name, f"not measured: {how}", "", "", "", "", row.aim]
    floor = now.floor
    return [
        row.name,
        row.shown(now.value),
        row.shown(before.value) if before else "",
        ratio(now.value / before.value) if before and before.value else "",
        row.shown(floor) if floor is not None else "",
        ratio(now.value / floor) if floor else "",
        row.aim,
    ]
