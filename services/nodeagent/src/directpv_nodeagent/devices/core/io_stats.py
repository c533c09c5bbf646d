"""I/O counters of a block device.

Source: kernel documentation, ``block/stat``. 10 fields were seen in the field; 11 are the documented base, 15 came
with discards (4.18), 17 with flushes (5.5).
"""

from dataclasses import dataclass
from typing import Final

SECTOR: Final = 512
"""Bytes; the unit of the kernel's counters, whatever the device's sector size."""
_LEAST: Final = 10
_ALL: Final = 17
_DONE: Final = (0, 4, 11, 15)
"""Reads, writes, discards, flushes."""


@dataclass(frozen=True, slots=True)
class IoStats:
    """Counters since boot, in the kernel's units."""

    reads: int
    read_sectors: int
    read_ms: int
    writes: int
    write_sectors: int
    write_ms: int
    in_flight: int
    busy_ms: int
    waited_ms: int
    """Time of all requests together; 0 where the kernel does not tell."""
    discards: int = 0
    discard_ms: int = 0
    flushes: int = 0
    flush_ms: int = 0

    @property
    def read_bytes(self) -> int:
        """Bytes read."""
        return self.read_sectors * SECTOR

    @property
    def write_bytes(self) -> int:
        """Bytes written."""
        return self.write_sectors * SECTOR

    @property
    def read_seconds(self) -> float:
        """Time that all reads together took."""
        return self.read_ms / 1000

    @property
    def write_seconds(self) -> float:
        """Time that all writes together took."""
        return self.write_ms / 1000

    @property
    def wait_seconds(self) -> float:
        """Time that all requests together were queued or served."""
        return self.waited_ms / 1000


def parse_stat(text: str) -> IoStats | None:
    """Read ``/sys/class/block/<name>/stat``; None if it has fewer than 10 fields, or others than numbers."""
    fields = text.split()
    if len(fields) < _LEAST or not all(field.isascii() and field.isdigit() for field in fields):
        return None
    n = [int(field) for field in fields]
    n += [0] * (_ALL - len(n))
    return IoStats(
        reads=n[0],
        read_sectors=n[2],
        read_ms=n[3],
        writes=n[4],
        write_sectors=n[6],
        write_ms=n[7],
        in_flight=n[8],
        busy_ms=n[9],
        waited_ms=n[10],
        discards=n[11],
        discard_ms=n[14],
        flushes=n[15],
        flush_ms=n[16],
    )


def done(text: str) -> tuple[int, ...]:
    """Return the completed requests of each kind in ``/sys/class/block/<name>/stat``; empty if it is none.

    Whoever waits for a device sees from them whether it is late or dead: times go on also while nothing is done.
    """
    fields = text.split()
    if not all(field.isascii() and field.isdigit() for field in fields):
        return ()
    return tuple(int(fields[index]) for index in _DONE if index < len(fields))
