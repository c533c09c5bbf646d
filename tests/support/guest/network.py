"""A network of the tests' own: a namespace that only this process and its children see, with a bridge for guests.

Everything in it, a NATS server that listens on all its addresses included, is out of reach for everybody else, and
is gone with the last process that lives in it.
"""

import ctypes
import os
import subprocess
from pathlib import Path
from typing import Final

_CLONE_NEWNET: Final = 0x40000000
BRIDGE: Final = "br0"
HOST: Final = "10.77.0.1"
"""Address of the tests themselves, and of what they start outside of guests."""
_PREFIX: Final = "10.77.0."
_BITS: Final = 24


def enter() -> None:
    """Move this thread, and what it starts from now on, to a network namespace of its own."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"no network namespace of our own: {os.strerror(number)}; run these tests as root")
    ip("link", "set", "lo", "up")
    ip("link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "forward_delay", "0")
    ip("address", "add", f"{HOST}/{_BITS}", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")
    Path(f"/proc/sys/net/ipv4/neigh/{BRIDGE}/retrans_time_ms").write_text("100")  # a guest is met soon after it booted


def ip(*arguments: str) -> None:
    """Run ``ip``."""
    subprocess.run(("ip", *arguments), check=True, capture_output=True, timeout=30)


class Port:
    """A guest's network card, plugged into the bridge."""

    def __init__(self, number: int) -> None:
        """Make the tap device of guest ``number``, 1 to 200."""
        self.name = f"tap{number}"
        self.address = f"{_PREFIX}{number + 10}"
        self.plugged = True
        ip("tuntap", "add", self.name, "mode", "tap")
        ip("link", "set", self.name, "master", BRIDGE, "up")

    @property
    def interface_address(self) -> str:
        """Address with the length of its prefix."""
        return f"{self.address}/{_BITS}"

    def cut(self) -> None:
        """Pull the cable. The card stays up: a guest of User Mode Linux gives up on one that goes down."""
        self.plugged = False
        ip("link", "set", self.name, "nomaster")

    def mend(self) -> None:
        """Put the cable back."""
        ip("link", "set", self.name, "master", BRIDGE)
        self.plugged = True

    def close(self) -> None:
        """Remove the card."""
        ip("link", "delete", self.name)
