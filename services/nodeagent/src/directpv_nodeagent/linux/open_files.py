"""Who holds what: deleted files, which keep their space until the last descriptor or mapping goes, and devices. Blocks.

Source: proc(5), ``fd``, ``cwd``, ``root``, ``maps``, ``map_files``. What this process may not see is left out.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from directpv_nodeagent.linux import quota

_DELETED: Final = " (deleted)"
_PROC: Final = Path("/proc")


def holders_of_deleted(directory: int, project: int) -> list[str]:
    """Return the processes that hold deleted files or directories of a project, as pid and name.

    Args:
        directory: Any directory of the file system that they were on.
        project: Their project id.
    """
    device = os.fstat(directory).st_dev
    found = []
    for process in sorted(_PROC.glob("[0-9]*"), key=lambda path: int(path.name)):
        with contextlib.suppress(OSError):
            if any(_is_of(link, device, project) for link in _links(process, device)):
                found.append(f"{process.name} ({(process / 'comm').read_text(errors='replace').strip()})")
    return found


def holders_of_device(number: str) -> list[str]:
    """Return the processes that have a block device itself open, as pid and name; ``number``: ``major:minor``."""
    device = os.makedev(*map(int, number.split(":")))
    found = []
    for process in sorted(_PROC.glob("[0-9]*"), key=lambda path: int(path.name)):
        with contextlib.suppress(OSError), os.scandir(process / "fd") as entries:
            if int(process.name) != os.getpid() and any(_is_device(entry.path, device) for entry in entries):
                found.append(f"{process.name} ({(process / 'comm').read_text(errors='replace').strip()})")
    return found


def _is_device(link: str, device: int) -> bool:
    with contextlib.suppress(OSError):
        if os.readlink(link).startswith("/dev/"):
            state = os.stat(link)
            return stat.S_ISBLK(state.st_mode) and state.st_rdev == device
    return False


def _links(process: Path, device: int) -> Iterator[str]:
    """Yield what a process holds of files that have no name any more."""
    for name in ("cwd", "root"):
        yield from _if_deleted(f"{process}/{name}")
    with contextlib.suppress(OSError), os.scandir(process / "fd") as entries:
        for entry in entries:
            yield from _if_deleted(entry.path)
    with contextlib.suppress(OSError):
        yield from _mapped(process, f" {os.major(device):02x}:{os.minor(device):02x} ")


def _mapped(process: Path, device: str) -> Iterator[str]:
    """Yield deleted files of a device that are mapped; a program may have ten thousands of mappings of others."""
    table = (process / "maps").read_text(errors="replace")
    if device in table:
        for line in table.splitlines():
            if device in line and line.endswith(_DELETED):
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
