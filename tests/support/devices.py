"""Loop devices of test stacks, with numbers that no other program picks.

A stack takes the lowest numbers that are free. Of a drive that a test has pulled, another stack would take the number,
and the agent would find a disk of that one under the name of its own.
"""

import contextlib
import fcntl
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from unittest import mock

from directpv_cli.local.machine import disks
from directpv_cli.local.machine.processes import wait_until

_ADD: Final = 0x4C80
_REMOVE: Final = 0x4C81
_NUMBERS: Final = (10_000, 900_000)
_SECONDS: Final = 30.0


@contextlib.contextmanager
def of_their_own(made: list[str]) -> Iterator[None]:
    """Have stacks that are started in the block attach their disks to such devices.

    Args:
        made: Takes the name of each, to be removed in the end: also of those that a stack needs while it starts only.
    """
    with mock.patch.object(disks, "attach", lambda image: _attach(image, made)):
        yield


def _attach(image: Path, made: list[str]) -> str:
    while True:
        number = random.randrange(*_NUMBERS)
        with contextlib.suppress(FileExistsError):
            _control(_ADD, number)
            break
    device = f"loop{number}"
    made.append(device)

    def attached() -> bool:
        """Attach it: udev looks at a new device at once, and the kernel refuses to attach a file meanwhile."""
        with contextlib.suppress(disks.DiskError):
            disks.command("losetup", f"/dev/{device}", str(image))
            return True
        return False

    assert wait_until(attached, _SECONDS), f"{device} cannot be attached"
    return device


def remove(device: str) -> None:
    """Take a device away to which no file is attached any more, and that udev may still look at."""

    def removed() -> bool:
        with contextlib.suppress(OSError):
            _control(_REMOVE, int(device.removeprefix("loop")))
        return not Path("/sys/class/block", device).exists()

    wait_until(removed, _SECONDS)


def _control(request: int, number: int) -> None:
    with open("/dev/loop-control", "rb") as control:
        fcntl.ioctl(control, request, number)
