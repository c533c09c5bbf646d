"""The mount table: parses mountinfo, and answers what is mounted where.

Source: proc_pid_mountinfo(5). Octal escapes stand for blank, tab, newline, ``#`` and backslash.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

MOUNT_FLAGS: Final = ("ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "strictatime")
"""What can differ from mount to mount of one file system."""
_SPECIAL: Final = re.compile(r"[ \t\n\\]")
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """One line of the mount table."""

    id: int
    parent: int
    device: str
    """``major:minor`` of the file system."""
    root: str
    """Path of the mounted directory inside its file system; ``/`` for a whole one."""
    path: str
    """Mount point."""
    options: str
    """Options of this mount, comma-separated: ``ro,noatime``."""
    fs_type: str
    source: str
    super_options: str
    """Options of the whole file system."""

    @property
    def flags(self) -> frozenset[str]:
        """Options of this mount."""
        return frozenset(self.options.split(","))

    @property
    def read_only(self) -> bool:
        """Whether writes through this mount are refused."""
        return "ro" in self.flags

    def shows(self, directory: str) -> bool:
        """Tell whether the mount shows ``directory`` of its file system or something below it."""
        return self.root == directory or self.root.startswith(f"{directory}/")


class MountTable:
    """All mounts, in the order in which they were made."""

    def __init__(self, mounts: Iterable[Mount]) -> None:
        self.mounts = tuple(mounts)
        self._at: dict[str, Mount] = {mount.path: mount for mount in self.mounts}
        self._on = {(mount.path, mount.parent): mount for mount in self.mounts if mount.id != mount.parent}
        self._by_id = {(mount.path, mount.id): mount for mount in self.mounts}
        self._of: dict[str, list[Mount]] = {}
        for mount in self.mounts:
            self._of.setdefault(mount.device, []).append(mount)

    def at(self, path: str) -> Mount | None:
        """Return the topmost mount at ``path``, which must be canonical.

        That is the last one in the table, but for mounts that were attached beneath others.
        """
        top = self._at.get(path)
        for _ in self.mounts:
            if top is None or (above := self._on.get((path, top.id))) is None:
                break
            top = above
        return top

    def beneath(self, mount: Mount) -> Mount | None:
        """Return the mount that ``mount`` lies on at the same path; None if there is none."""
        return self._by_id.get((mount.path, mount.parent))

    def stack(self, path: str) -> list[Mount]:
        """Return the mounts on top of each other at ``path``, the topmost first."""
        found: list[Mount] = []
        mount = self.at(path)
        while mount is not None and mount not in found:
            found.append(mount)
            mount = self.beneath(mount)
        return found

    def of(self, device: str) -> list[Mount]:
        """Return the mounts of the file system on ``major:minor``."""
        return self._of.get(device, [])

    def showing(self, device: str, directory: str) -> list[Mount]:
        """Return the mounts that show ``directory`` of the file system on ``device``, or part of it."""
        return [mount for mount in self.of(device) if mount.shows(directory)]

    def below(self, path: str) -> list[Mount]:
        """Return the mounts whose mount points are below ``path``."""
        return [mount for mount in self.mounts if mount.path.startswith(f"{path}/")]


def parse(*tables: str, about: Collection[str] = ()) -> MountTable:
    """Parse one or more tables (of several processes) into one; a line that occurs twice counts once.

    Lines that are malformed are left out: a new kernel must not blind the agent.

    Args:
        tables: Contents of ``/proc/<pid>/mountinfo``.
        about: Devices (``major:minor``) and paths. If any are given, only lines in which one of them occurs are
            parsed: on a node with thousands of mounts that is nearly all of the time.
    """
    lines: Iterable[str] = (line for table in tables for line in table.split("\n"))
    if about:
        wanted = [escape(text) for text in about]
        lines = (line for line in lines if any(text in line for text in wanted))
    return MountTable(mount for mount in map(_parse_line, dict.fromkeys(lines)) if mount is not None)


def _parse_line(line: str) -> Mount | None:
    fields = line.split(" ")
    try:
        dash = fields.index("-", 6)
        numbers = int(fields[0]), int(fields[1])
        fs_type, source, super_options = fields[dash + 1 : dash + 4]
    except ValueError:
        return None
    if "\\" in line:
        fields = [unescape(field) for field in fields]
        source = unescape(source)
    return Mount(*numbers, fields[2], fields[3], fields[4], fields[5], fs_type, source, super_options)


def escape(text: str) -> str:
    r"""Return a path as the kernel writes it into the table.

    >>> escape("/a b")
    '/a\\040b'
    """
    return _SPECIAL.sub(lambda match: f"\\{ord(match[0]):03o}", text)


def unescape(text: str) -> str:
    r"""Return ``text`` with ``\040`` and its like replaced; bytes that are not UTF-8 stay surrogate escapes.

    >>> unescape(r"/a\040b")
    '/a b'
    """
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
