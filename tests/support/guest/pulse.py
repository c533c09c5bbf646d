"""Whether a guest lives: one that is busy answers, one that has lost its timer burns processor time and does not.

A guest of User Mode Linux can lose the timer of its kernel when this machine is under load: its kernel spins from then
on, and nothing in it goes on. The hand runs before every other program of its guest, so that a guest that is merely
busy answers at once in its own time: as measured by the processor time that it gets, however little that is.
"""

import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.guest.client import PORT

PING_SECONDS: Final = 3.0
SPIN_SECONDS: Final = 6.0
"""Processor time that a guest gets without an answer before it counts as lost; one that is well needs milliseconds."""
IDLE_SECONDS: Final = 15.0
"""After which one that neither answers nor uses processor time is told to be silent."""
IDLE_SHARE: Final = 0.05
LIMIT_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 1.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")
# Of /proc/<pid>/stat, counted from after the command's name: proc(5).
_GROUP: Final = 2
_TIMES: Final = slice(11, 15)
"""Times of the process, and of its children that it has waited for."""


@dataclass(frozen=True)
class Patience:
    """How long a guest may stay without an answer, in seconds; see the constants for what each means."""

    ping: float = PING_SECONDS
    pause: float = 1.0
    """Between two pings."""
    spin: float = SPIN_SECONDS
    idle: float = IDLE_SECONDS
    limit: float = LIMIT_SECONDS


PATIENCE: Final = Patience()


class TestbedFault(AssertionError):
    """The machines of a test failed, not what is tested."""

    __test__ = False


class TimerLost(TestbedFault):
    """A guest spins and answers nothing."""

    __test__ = False


def processor_seconds(group: int) -> float:
    """Return what all processes of a process group have used: a guest's kernel is one of them, its programs others."""
    used = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[_GROUP]) == group:
            used += sum(map(int, fields[_TIMES]))
    return used / _TICKS


def answers(address: str, within: float = PING_SECONDS) -> bool:
    """Tell whether the hand of the guest at this address does."""
    try:
        with socket.create_connection((address, PORT), within) as connection:
            connection.settimeout(within)
            connection.sendall(json.dumps({"do": "ping"}).encode() + b"\n")
            return bool(connection.recv(64))
    except OSError:
        return False


def examine(
    name: str, address: str, process: "subprocess.Popen[bytes]", patience: Patience = PATIENCE
) -> TestbedFault | None:
    """Return what is wrong with a guest that should answer by now, None if it answers. Blocks.

    Args:
        name: Of the guest, for the message.
        address: Of its hand.
        process: Leader of the process group that it is made of.
        patience: How long it may take.
    """
    began = looked = time.monotonic()
    before = processor_seconds(process.pid)
    while not answers(address, patience.ping):
        if process.poll() is not None:
            return TestbedFault(f"the guest {name} has ended")
        if (now := time.monotonic()) >= looked + _LOOK_SECONDS:
            looked, used = now, processor_seconds(process.pid) - before
            if fault := _judged(name, now - began, used, patience):
                return fault
        time.sleep(patience.pause)
    return None


def _judged(name: str, passed: float, used: float, patience: Patience) -> TestbedFault | None:
    told = f"no answer for {passed:.0f} s, in which it used {used:.1f} s of processor time"
    if used >= patience.spin:
        return TimerLost(f"the guest {name} lost its timer: a fault of the testbed ({told})")
    if passed >= patience.limit or (passed >= patience.idle and used < IDLE_SHARE * passed):
        return TestbedFault(f"the guest {name} does not answer ({told})")
    return None
