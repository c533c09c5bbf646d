"""Who keeps devices of a stack from going: processes that have files open on them, or have them mounted.

Source: proc(5). What this process may not see is left out.
"""

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")


def holders(numbers: Collection[str]) -> list[str]:
    """Return the processes, as pid and name, that hold file systems on devices.

    Args:
        numbers: ``major:minor`` of the devices.
    """
    devices = {os.makedev(*map(int, number.split(":"))) for number in numbers}
    found = []
    for process in sorted(_PROC.glob("[0-9]*"), key=lambda path: int(path.name)):
        with contextlib.suppress(OSError):
            if _mounts(process, numbers) or any(_is_on(link, devices) for link in _links(process)):
                found.append(f"{process.name} ({(process / 'comm').read_text(errors='replace').strip()})")
    return found


def _mounts(process: Path, numbers: Collection[str]) -> bool:
    """Tell whether the process has one of the devices mounted in a namespace other than ours."""
    if os.stat(process / "ns/mnt").st_ino == os.stat("/proc/self/ns/mnt").st_ino:
        return False
    table = (process / "mountinfo").read_text(errors="replace")
    return any(f" {number} " in table for number in numbers)


def _links(process: Path) -> Iterator[Path]:
    yield from (process / "cwd", process / "root")
    with contextlib.suppress(OSError):
        yield from (process / "fd").iterdir()


def _is_on(link: Path, devices: Collection[int]) -> bool:
    """Tell whether a link leads to a file on one of the devices; none of ours is on a network, which might hang."""
    with contextlib.suppress(OSError):
        return os.readlink(link).startswith("/") and os.stat(link).st_dev in devices
    return False
