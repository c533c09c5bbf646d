"""The mount table: parses mountinfo, and answers what is mounted where.

Source: proc_pid_mountinfo(5). Octal escapes stand for blank, tab, newline, ``#`` and backslash.
"""

import functools
import re
from collections import defaultdict
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
    optional: str = ""
    """Optional fields, such as ``shared:3 master:2``: the peer groups that it hands mounts on to, or gets them from."""

    @property
    def flags(self) -> frozenset[str]:
        """Options of this mount."""
        return frozenset(self.options.split(","))

    @property
    def read_only(self) -> bool:
        """Whether writes through this mount are refused."""
        return "ro" in self.flags

    @property
    def shared(self) -> str:
        """The peer group that what is mounted on it is handed on to; empty if it is to nobody."""
        return self._group("shared:")

    @property
    def master(self) -> str:
        """The peer group that it gets mounts from; empty if from none."""
        return self._group("master:")

    def _group(self, kind: str) -> str:
        return next((field.removeprefix(kind) for field in self.optional.split(" ") if field.startswith(kind)), "")

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
        self._places: dict[str, dict[tuple[str, str], list[Mount]]] = {}

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

    def elsewhere(self, device: str, path: str) -> list[Mount]:
        """Return the mounts of a file system that stay when it is unmounted from ``path``."""
        gone = {twin.id for mount in self.of(device) if mount.path == path for twin in self.twins(mount)}
        return [mount for mount in self.of(device) if mount.path != path and mount.id not in gone]

    def firsts(self, mounts: Iterable[Mount]) -> list[Mount]:
        """Return ``mounts`` of this table without those that are twins of an earlier one."""
        found: list[Mount] = []
        gone: set[int] = set()
        for mount in mounts:
            if mount.id not in gone:
                found.append(mount)
                gone |= {twin.id for twin in self.twins(mount)}
        return found

    def twins(self, mount: Mount) -> list[Mount]:
        """Return the mounts that are there because ``mount`` is, by propagation; they come and go with it.

        Where a directory is a bind mount of a shared file system, what is mounted below it is below the file system's
        own mount as well; source: mount_namespaces(7). The table must have the mounts that these lie on.
        """
        alike = self._alike(mount.device)[mount.root, self._place(mount)]
        parent = self._ids.get(mount.parent)
        if len(alike) < 2 or parent is None or not parent.shared:
            return []
        groups = self._hearing(parent.shared)
        return [other for other in alike if other.id != mount.id and groups & self._groups(other.parent)]

    def _alike(self, device: str) -> dict[tuple[str, str], list[Mount]]:
        """Return the mounts of a file system by what they show, and the place in the file system that they lie on."""
        if device not in self._places:
            found: dict[tuple[str, str], list[Mount]] = defaultdict(list)
            for mount in self.of(device):
                found[mount.root, self._place(mount)].append(mount)
            self._places[device] = found
        return self._places[device]

    def _place(self, mount: Mount) -> str:
        """Return the file system that a mount lies on, and its mount point in there; by its id if that is not known."""
        if (parent := self._ids.get(mount.parent)) is None:
            return str(mount.id)
        return parent.device + parent.root.rstrip("/") + mount.path.removeprefix(parent.path.rstrip("/"))

    def _groups(self, number: int) -> set[str]:
        """Return the peer groups that a mount is in, or hears of."""
        return {self._ids[number].shared, self._ids[number].master} - {""} if number in self._ids else set()

    def _hearing(self, group: str) -> set[str]:
        """Return the peer groups that get what is mounted in ``group``, itself too."""
        found = {group}
        while more := {m.shared for m in self._slaves if m.master in found} - found - {""}:
            found |= more
        return found

    @functools.cached_property
    def _slaves(self) -> list[Mount]:
        return [mount for mount in self.mounts if mount.master]

    @functools.cached_property
    def _ids(self) -> dict[int, Mount]:
        return {mount.id: mount for mount in self.mounts}

    def below(self, path: str) -> list[Mount]:
        """Return the mounts whose mount points are below ``path``."""
        return [mount for mount in self.mounts if mount.path.startswith(f"{path}/")]


def parse(*tables: str, about: Collection[str] = (), parents: bool = False) -> MountTable:
    """Parse one or more tables (of several processes) into one; a line that occurs twice counts once.

    Lines that are malformed are left out: a new kernel must not blind the agent.

    Args:
        tables: Contents of ``/proc/<pid>/mountinfo``.
        about: Devices (``major:minor``) and paths. If any are given, only lines in which one of them occurs are
            parsed: on a node with thousands of mounts that is nearly all of the time.
        parents: Whether the mounts that those lie on are parsed, too, which :meth:`MountTable.twins` needs.
    """
    lines: Iterable[str] = [line for table in tables for line in table.split("\n")]
    if about:
        wanted = [escape(text) for text in about]
        found = {line: None for line in lines if any(text in line for text in wanted)}
        below = {line.split(" ", 2)[1] for line in found if line.count(" ") > 1} if parents else set()
        lines = (line for line in lines if line in found or (below and line.partition(" ")[0] in below))
    return MountTable(mount for mount in map(_parse_line, dict.fromkeys(lines)) if mount is not None)


def may_have_twins(table: str) -> bool:
    """Tell whether mounts of ``table`` can be each other's twins: they show the same at places with the same last name.

    What they lie on tells for certain, and is to be looked for only then.
    """
    seen: set[tuple[str, ...]] = set()
    for line in table.splitlines():
        fields = line.split(" ", 5)
        key = (*fields[2:4], fields[4].rpartition("/")[2]) if len(fields) > 4 else ()
        if key and key in seen:
            return True
        seen.add(key)
    return False


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
    optional = " ".join(fields[6:dash])
    return Mount(*numbers, fields[2], fields[3], fields[4], fields[5], fs_type, source, super_options, optional)


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
