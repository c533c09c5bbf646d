"""Compares a volume with its copy, entry by entry and byte by byte, a little at a time. Blocks: call it in an executor.

No link is followed, and no other file system entered. The kernel writes a file's time of change (ctime) with each
change, and nobody can set it.

    syncfs(source) at T ── what was written through a mapping before T is on disk, and its pages are read-only again
    file: ctime C < T ──── read both sides ──── equal: remembered with C
    later: ctime is C still ── nothing was written since, in whatever way
"""

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from time import monotonic, time_ns
from typing import Final, NamedTuple

from directpv_common.protocol.errors import FailedPrecondition
from directpv_nodeagent.layout.core.layout import COPIED
from directpv_nodeagent.linux import files, quota, syscalls
from directpv_nodeagent.linux.core.quota import APPEND_ONLY, IMMUTABLE

_CHUNK: Final = 1024 * 1024
_TOO_DEEP: Final = 400
"""Directories; each one on the way down takes two descriptors."""
_SMALL: Final = 64 * 1024
"""Bytes; of smaller files fewer are remembered: they are soon read again."""
REMEMBERED_AT_MOST: Final = 400_000
"""Files of all moves of a node: about 100 MB."""
_WRONG_AT_MOST: Final = 10_000
_MARGIN: Final = 1_000_000_000
"""Nanoseconds: more than the coarsest clock of a file's times."""
_IGNORED: Final = frozenset({COPIED, "security.selinux"})
"""Attributes that are ours, or given by the system's rules, not by who wrote the file."""
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOATIME


class _Stamp(NamedTuple):
    """A file that was found equal, as it was then."""

    changed: int
    """ctime of the source, ns."""
    target: int
    """Inode of the copy."""


class Wrong(NamedTuple):
    """One difference."""

    path: str
    why: str

    def __str__(self) -> str:
        return f"{self.path or 'the top directory'}: {self.why}"


@dataclass
class Room:
    """How many files may yet be remembered, by all moves together; a few more do no harm."""

    left: int = REMEMBERED_AT_MOST
    all: int = REMEMBERED_AT_MOST


class Known:
    """What was found equal before, by inode of the source; kept from pass to pass."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._stamps: dict[int, _Stamp] = {}

    def has(self, inode: int, stamp: _Stamp) -> bool:
        """Tell whether the file was found equal, and has not changed since; what has changed is forgotten."""
        if self._stamps.get(inode) == stamp:
            return True
        if self._stamps.pop(inode, None) is not None:
            self._room.left += 1
        return False

    def note(self, inode: int, stamp: _Stamp, size: int) -> None:
        """Remember a file, as far as there is room; half of it is for files that are not small."""
        if inode not in self._stamps and self._room.left > (self._room.all // 2 if size < _SMALL else 0):
            self._room.left -= 1
            self._stamps[inode] = stamp

    def forget(self) -> None:
        """Give the room to others."""
        self._room.left += len(self._stamps)
        self._stamps.clear()


@dataclass
class _Folder:
    source: int
    target: int
    path: str
    names: Iterator[str]


class Comparison:
    """One comparison. ``wrong`` holds what differs, ``done`` how many bytes were gone through."""

    def __init__(self, source: int, target: int, known: Known) -> None:
        """Begin; both file systems are synced.

        Args:
            source: Descriptor of the volume's directory, kept open until :meth:`close`.
            target: The same of the copy.
            known: What was found equal before; what is found now is added.
        """
        self._source, self._target, self._known = os.dup(source), os.dup(target), known
        self._sync = time_ns() - _MARGIN
        syscalls.syncfs(source)
        syscalls.syncfs(target)
        self.wrong: list[Wrong] = []
        self.done = 0
        self.read = 0
        """Bytes that were really read of the source."""
        self._links: dict[int, int] = {}
        self._linked: dict[int, int] = {}
        self._device = os.fstat(source).st_dev
        self._steps = self._walk()
        self._lock = threading.Lock()
        """A caller that was cancelled closes while its last call is still at work."""

    def some(self, seconds: float, most: int = 0) -> bool:
        """Go on for ``seconds``, or until ``most`` bytes were read (0: no limit); tell whether that was all.

        Raises:
            OSError: What the kernel said.
            FailedPrecondition: The tree cannot be compared; names the path.
        """
        end, begun = monotonic() + seconds, self.read
        with self._lock:
            while monotonic() < end and not (most and self.read - begun >= most):
                if next(self._steps, None) is None:
                    return True
        return False

    def close(self) -> None:
        """Close all that is open."""
        with self._lock:
            self._steps.close()
            for descriptor in (self._source, self._target):
                os.close(descriptor)

    # ---- the tree

    def _walk(self) -> Generator[int, None, None]:
        """Yield something now and then."""
        self._entry("", os.fstat(self._source), os.fstat(self._target), ("/proc/self/fd", str(self._source)), None)
        above = [_Folder(os.dup(self._source), os.dup(self._target), "", iter(()))]
        try:
            self._list(above[0])
            while above:
                folder = above[-1]
                name = next(folder.names, None)
                if name is None:
                    self._leave(above.pop())
                    continue
                yield from self._compare(name, folder, above)
        finally:
            for folder in above:
                self._leave(folder)

    @staticmethod
    def _leave(folder: _Folder) -> None:
        os.close(folder.source)
        os.close(folder.target)

    def _list(self, folder: _Folder) -> None:
        self._flags(folder.source, folder.path or "the volume's directory")
        here, there = os.listdir(folder.source), os.listdir(folder.target)
        for name in set(there).difference(here):
            self._differs(_joined(folder.path, name), "is only in the copy")
        folder.names = iter(here)

    def _compare(self, name: str, folder: _Folder, above: list[_Folder]) -> Iterator[int]:
        path = _joined(folder.path, name)
        try:
            ours = os.stat(name, dir_fd=folder.source, follow_symlinks=False)
        except FileNotFoundError:
            return  # a pod has removed it; a pass will notice
        try:
            theirs = os.stat(name, dir_fd=folder.target, follow_symlinks=False)
        except FileNotFoundError:
            self._differs(path, "is missing")
            return
        places = (f"/proc/self/fd/{folder.source}", name), (f"/proc/self/fd/{folder.target}", name)
        if not self._entry(path, ours, theirs, *places):
            pass
        elif stat.S_ISREG(ours.st_mode):
            yield from self._file(name, folder, path, ours, theirs)
        elif stat.S_ISDIR(ours.st_mode):
            self._descend(name, folder, path, above)
        self.done += ours.st_size if stat.S_ISREG(ours.st_mode) else 0
        yield 0

    def _descend(self, name: str, folder: _Folder, path: str, above: list[_Folder]) -> None:
        if len(above) >= _TOO_DEEP:
            raise FailedPrecondition(f"{path}: more than {_TOO_DEEP} directories deep cannot be compared")
        source = files.open_directory(name, folder.source)
        try:
            if os.fstat(source).st_dev != self._device:
                raise FailedPrecondition(f"{path}: another file system is mounted there; unmount it")
            target = files.open_directory(name, folder.target)
        except BaseException:
            os.close(source)
            raise
        below = _Folder(source, target, path, iter(()))
        above.append(below)
        self._list(below)

    def _differs(self, path: str, why: str) -> bool:
        if len(self.wrong) < _WRONG_AT_MOST:
            self.wrong.append(Wrong(path, why))
        return False

    # ---- one entry

    def _entry(
        self,
        path: str,
        ours: os.stat_result,
        theirs: os.stat_result,
        place: tuple[str, str],
        other: tuple[str, str] | None,
    ) -> bool:
        """Compare all but content; tell whether content is to be compared, too."""
        for what, one, two in _facts(ours, theirs):
            if one != two:
                return self._differs(path, f"{what} {two} instead of {one}")
        ours_at = "/".join(place)
        theirs_at = "/".join(other) if other is not None else f"/proc/self/fd/{self._target}"
        if stat.S_ISLNK(ours.st_mode) and os.readlink(ours_at) != os.readlink(theirs_at):
            return self._differs(path, "the link leads elsewhere")
        follow = other is None
        if (found := _attributes(ours_at, follow)) != (copied := _attributes(theirs_at, follow)):
            differing = sorted(key for key in found.keys() | copied.keys() if found.get(key) != copied.get(key))
            return self._differs(path, f"extended attributes differ: {', '.join(differing)}")
        return self._same_links(path, ours, theirs)

    def _same_links(self, path: str, ours: os.stat_result, theirs: os.stat_result) -> bool:
        """Names of one file must be names of one file in the copy, and of no other."""
        if stat.S_ISDIR(ours.st_mode) or max(ours.st_nlink, theirs.st_nlink) < 2:
            return True
        known = self._links.setdefault(ours.st_ino, theirs.st_ino) == theirs.st_ino
        if known and self._linked.setdefault(theirs.st_ino, ours.st_ino) == ours.st_ino:
            return True
        return self._differs(path, "is a name of another file than in the source")

    def _file(
        self, name: str, folder: _Folder, path: str, ours: os.stat_result, theirs: os.stat_result
    ) -> Generator[int, None, None]:
        stamp = _Stamp(ours.st_ctime_ns, theirs.st_ino)
        if self._known.has(ours.st_ino, stamp):
            return
        try:
            source = os.open(name, _READ, dir_fd=folder.source)
        except FileNotFoundError:
            return
        try:
            target = os.open(name, _READ, dir_fd=folder.target)
            try:
                os.posix_fadvise(target, 0, 0, os.POSIX_FADV_DONTNEED)  # what is on the disk, not what we just wrote
                if not (yield from self._content(source, target, path, ours)):
                    return
                self._flags(source, path)
            finally:
                os.close(target)
            if ours.st_ctime_ns < self._sync and ours.st_size:
                self._known.note(ours.st_ino, stamp, ours.st_size)
        finally:
            os.close(source)

    def _content(self, source: int, target: int, path: str, ours: os.stat_result) -> Generator[int, None, bool]:
        position = 0
        while position < ours.st_size:
            position = min(_data_from(source, position, ours.st_size), _data_from(target, position, ours.st_size))
            if position >= ours.st_size:
                break
            try:
                here = os.pread(source, _CHUNK, position)
            except OSError as error:
                raise OSError(error.errno, f"{path}: {error.strerror}") from error
            if here != os.pread(target, _CHUNK, position) or not here:
                return self._differs(path, f"content differs at byte {position} or after it")
            position += len(here)
            self.read += len(here)
            yield len(here)
        return True

    def _flags(self, source: int, path: str) -> None:
        if quota.attributes(source).flags & (IMMUTABLE | APPEND_ONLY):
            raise FailedPrecondition(
                f"{path} is immutable or append-only, which is not copied; run: chattr -i -a on it"
            )


def _facts(ours: os.stat_result, theirs: os.stat_result) -> Iterator[tuple[str, object, object]]:
    yield "type", stat.S_IFMT(ours.st_mode), stat.S_IFMT(theirs.st_mode)
    yield "mode", oct(ours.st_mode), oct(theirs.st_mode)
    yield "owner", f"{ours.st_uid}:{ours.st_gid}", f"{theirs.st_uid}:{theirs.st_gid}"
    yield "time", ours.st_mtime_ns, theirs.st_mtime_ns
    if stat.S_ISREG(ours.st_mode):
        yield "size", ours.st_size, theirs.st_size
    if not stat.S_ISDIR(ours.st_mode):
        yield "number of links", ours.st_nlink, theirs.st_nlink
    if stat.S_ISCHR(ours.st_mode) or stat.S_ISBLK(ours.st_mode):
        yield "device", ours.st_rdev, theirs.st_rdev


def _attributes(path: str, follow: bool) -> dict[str, bytes]:
    """Return extended attributes, ACLs among them (``system.posix_acl_access``)."""
    names = [name for name in os.listxattr(path, follow_symlinks=follow) if name not in _IGNORED]
    return {name: os.getxattr(path, name, follow_symlinks=follow) for name in names}


def _data_from(descriptor: int, position: int, size: int) -> int:
    """Return where the next data is, at ``position`` or after it; ``size`` if there is none."""
    try:
        return os.lseek(descriptor, position, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return size


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def measure(directory: int, seconds: float) -> int:
    """Return the bytes of all files below, each counted once, as far as ``seconds`` reach; for people only."""
    end, total, counted = monotonic() + seconds, 0, set[int]()
    with contextlib.suppress(OSError, RecursionError):
        for _, _, names, folder in os.fwalk(".", dir_fd=directory):
            for name in names:
                total += _size_once(name, folder, counted)
            if monotonic() >= end:
                break
    return total


def _size_once(name: str, folder: int, counted: set[int]) -> int:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return 0
    if not stat.S_ISREG(found.st_mode) or (found.st_nlink > 1 and found.st_ino in counted):
        return 0
    if found.st_nlink > 1:
        counted.add(found.st_ino)
    return found.st_size
