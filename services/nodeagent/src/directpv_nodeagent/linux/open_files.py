"""Who holds what: files of a volume, deleted ones, which keep their space until the last of it goes, devices. Blocks.

Source: proc(5), ``fd``, ``cwd``, ``root``, ``maps``, ``map_files``. What this process may not see is left out.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from directpv_nodeagent.linux import quota, syscalls

_DELETED: Final = " (deleted)"
_PROC: Final = Path("/proc")


def holders_of_deleted(directory: int, project: int) -> list[str]:
    """Return the processes that hold deleted files or directories of a project, as pid and name.

    Args:
        directory: Any directory of the file system that they were on.
        project: Their project id.
    """
    device = os.fstat(directory).st_dev
    return _processes(lambda process: any(_is_of(link, device, project) for link in _deleted(process, device)))


def holders(directory: int, project: int) -> list[str]:
    """Return the other processes that hold any file or directory of a project, deleted or not, as pid and name.

    Where a lazy unmount, or another mount namespace, hides the mount, they can still write.

    Args:
        directory: Any directory of the file system.
        project: The project id.
    """
    device = os.fstat(directory).st_dev

    def holds(process: Path) -> bool:
        return int(process.name) != os.getpid() and any(_is_of(link, device, project) for link in _all(process, device))

    return _processes(holds)


def _processes(holds: Callable[[Path], bool]) -> list[str]:
    found = []
    for process in sorted(_PROC.glob("[0-9]*"), key=lambda path: int(path.name)):
        with contextlib.suppress(OSError):
            if holds(process):
                found.append(f"{process.name} ({(process / 'comm').read_text(errors='replace').strip()})")
    return found


def holders_of_device(number: str) -> list[str]:
    """Return the processes that have a block device itself open, as pid and name; ``number``: ``major:minor``."""
    device = os.makedev(*map(int, number.split(":")))

    def holds(process: Path) -> bool:
        with os.scandir(process / "fd") as entries:
            return int(process.name) != os.getpid() and any(_is_device(entry.path, device) for entry in entries)

    return _processes(holds)


def _is_device(link: str, device: int) -> bool:
    with contextlib.suppress(OSError):
        if os.readlink(link).startswith("/dev/"):
            state = os.stat(link)
            return stat.S_ISBLK(state.st_mode) and state.st_rdev == device
    return False


def _deleted(process: Path, device: int) -> Iterator[str]:
    """Yield what a process holds of files that have no name any more."""
    for link in _open(process):
        yield from _if_deleted(link)
    with contextlib.suppress(OSError):
        yield from _mapped(process, device, _DELETED)


def _all(process: Path, device: int) -> Iterator[str]:
    """Yield what a process holds of files of a device."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for link in _open(process):
        with contextlib.suppress(OSError):
            if syscalls.device_of(link) == number:
                yield link
    with contextlib.suppress(OSError):
        yield from _mapped(process, device, "")


def _open(process: Path) -> Iterator[str]:
    yield from (f"{process}/{name}" for name in ("cwd", "root"))
    with contextlib.suppress(OSError), os.scandir(process / "fd") as entries:
        yield from (entry.path for entry in entries)


def _mapped(process: Path, number: int, end: str) -> Iterator[str]:
    """Yield files of a device that are mapped; a program may have ten thousands of mappings of others.

    Args:
        process: The process.
        number: The device.
        end: Of the lines that count.
    """
    device, table = f" {os.major(number):02x}:{os.minor(number):02x} ", (process / "maps").read_text(errors="replace")
    if device in table:
        for line in table.splitlines():
            if device in line and line.endswith(end):
                first, _, end = line.partition(" ")[0].partition("-")
                yield f"{process}/map_files/{int(first, 16):x}-{int(end, 16):x}"  # without the zeros of the table


def _if_deleted(link: str) -> Iterator[str]:
    with contextlib.suppress(OSError):
        if os.readlink(link).endswith(_DELETED):  # tells without asking the file system, which may hang
            yield link


def _is_of(link: str, device: int, project: int) -> bool:
    """Tell whether a file belongs to the project; opened for reading only, and only if it is a file or directory."""
    with contextlib.suppress(OSError):
        state = os.stat(link)
        if state.st_dev != device or not (stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode)):
            return False
        descriptor = os.open(link, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return quota.attributes(descriptor).project == project
        finally:
            os.close(descriptor)
    return False
