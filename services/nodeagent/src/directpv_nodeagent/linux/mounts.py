"""Mounts: reads the table, makes bind mounts, takes them away. Everything here blocks: call it in an executor."""

import contextlib
import errno
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Set
from pathlib import Path
from typing import Final

from directpv_common.protocol.errors import DriveFault, FailedPrecondition
from directpv_nodeagent.linux import mount_points, syscalls
from directpv_nodeagent.linux.core.mountinfo import Mount, MountTable, escape, may_have_twins, parse

log = logging.getLogger(__name__)

_MS: Final = {
    "ro": syscalls.MS_RDONLY,
    "nosuid": syscalls.MS_NOSUID,
    "nodev": syscalls.MS_NODEV,
    "noexec": syscalls.MS_NOEXEC,
    "noatime": syscalls.MS_NOATIME,
    "nodiratime": syscalls.MS_NODIRATIME,
    "relatime": syscalls.MS_RELATIME,
    "strictatime": syscalls.MS_STRICTATIME,
}
_BUSY_TRIES: Final = 5
_BUSY_PAUSE: Final = 0.02
_STACK_LIMIT: Final = 64
"""Mounts on top of each other at one path: more than any mistake makes."""
_WHOLE_TABLES: Final = (5, 8)
"""Version of Linux since when a table that is read in pieces is whole (commit "proc/mounts: add cursor")."""
_READ_TRIES: Final = 10
_READERS: Final = threading.BoundedSemaphore(2)
_TURN_SECONDS: Final = 2.0
_PIECE: Final = 1 << 16
_OLD_KERNEL: Final = frozenset({errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP})


def own_mounts(*about: str, parents: bool = False) -> MountTable:
    """Return the mount table of this process's namespace, or only what is ``about`` these devices and paths.

    ``parents``: also the mounts that those lie on.
    """
    with _in_turn():
        text = _read("/proc/self/mountinfo", about)
        if parents and may_have_twins(text):
            text = _read("/proc/self/mountinfo")
        return parse(text, about=about, parents=parents)


def all_mounts() -> MountTable:
    """Return the mounts of this process and of the host's first process, if it is another namespace and visible."""
    with _in_turn():
        tables = [_read("/proc/self/mountinfo")]
        with contextlib.suppress(OSError):
            if os.readlink("/proc/1/ns/mnt") != os.readlink("/proc/self/ns/mnt"):
                tables.append(_read("/proc/1/mountinfo"))
        return parse(*tables)


def mounts_elsewhere(*devices: str, host: bool = True) -> dict[str, MountTable]:
    """Return the mounts of devices in the mount namespaces of others, by one process of each, as pid and name.

    ``host``: also in that of the host's first process.
    """
    seen, tables = {os.readlink("/proc/self/ns/mnt")}, {}
    with contextlib.suppress(OSError):
        seen |= set() if host else {os.readlink("/proc/1/ns/mnt")}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            namespace = os.readlink(process / "ns/mnt")
            if namespace not in seen:
                seen.add(namespace)
                who = f"{process.name} ({(process / 'comm').read_text(errors='replace').strip()})"
                tables[who] = parse(_read(f"{process}/mountinfo"), about=devices)
    return tables


@contextlib.contextmanager
def _in_turn() -> Iterator[None]:
    """Let few read the table at once, for it may be megabytes long; who has waited for his turn for long reads too."""
    taken = _READERS.acquire(timeout=_TURN_SECONDS)
    try:
        yield
    finally:
        if taken:
            _READERS.release()


def _read(path: str, about: Collection[str] = ()) -> str:
    """Read a table, or the lines ``about`` something. Before Linux 5.8 it skips entries while others mount: there it is
    read until it does not change.
    """
    text = _read_once(path, about)
    for _ in range(_READ_TRIES if _release() < _WHOLE_TABLES else 0):
        before, text = text, _read_once(path, about)
        if before == text:
            break
    return text


def _read_once(path: str, about: Collection[str]) -> str:
    wanted = [os.fsencode(escape(text)) for text in about]
    with open(path, "rb", buffering=_PIECE) as table:
        if not wanted:
            return os.fsdecode(table.read())
        # Line by line: a thread per drive that holds megabytes is what an agent's memory is made of at its start.
        return os.fsdecode(b"".join(line for line in table if any(text in line for text in wanted)))


def _release() -> tuple[int, int]:
    """Return major and minor version of the kernel."""
    major, minor, *_ = re.findall(r"\d+", os.uname().release)
    return int(major), int(minor)


def bind(source: int, target: str, flags: Set[str]) -> None:
    """Show ``source`` (a descriptor) at ``target``, two directories or two files, with ``flags`` from the first moment.

    The mount is private before it is attached: what others mount on it does not reach what it was made from. In a
    shared place it and its copies in other namespaces make a peer group of their own (mount_namespaces(7)).
    Kernels before 5.12 get a plain bind and a remount; the mount is taken away again if the remount fails.
    """
    bits = sum(_MS[flag] for flag in flags)
    try:
        with mount_points.place(target) as below:
            _bind_atomically(source, below, bits)
    except OSError as error:
        if error.errno not in _OLD_KERNEL:
            raise
        bind_in_two_steps(source, target, bits)


def _bind_atomically(source: int, target: int, bits: int, *, beneath: bool = False) -> None:
    with _cloned(source, bits) as tree:
        syscalls.attach_mount(tree, target, beneath=beneath)


@contextlib.contextmanager
def _cloned(source: int, bits: int) -> Iterator[int]:
    """Return a mount of ``source`` that is attached nowhere yet; one that stays so is gone afterwards."""
    tree = syscalls.clone_mount(source)
    try:
        syscalls.set_mount_flags(tree, bits)
        yield tree
    finally:
        os.close(tree)


def replace(source: int, target: str, flags: Set[str]) -> None:
    """Show ``source`` (a descriptor) at ``target`` instead of the topmost mount there, which goes lazily.

    The new mount is there before the old one goes, so the place is bare at no time. Kernels before 6.5 cannot attach
    beneath a mount: the new one is made before the old one goes, and attached right after.

    Raises:
        OSError: What the kernel said. The old mount is there still or, before Linux 6.5, the place is bare.
    """
    bits = sum(_MS[flag] for flag in flags)
    try:
        with mount_points.place(target) as top:
            _bind_atomically(source, top, bits, beneath=True)
    except OSError as error:
        if error.errno != errno.EINVAL and error.errno not in _OLD_KERNEL:
            raise
        replace_in_two_steps(source, target, bits)
    else:
        syscalls.umount(target, syscalls.MNT_DETACH)


def replace_in_two_steps(source: int, target: str, bits: int) -> None:
    """As :func:`replace`, the way of kernels before 6.5; ``bits`` are MS_* flags."""
    with contextlib.ExitStack() as stack:
        tree = None
        try:
            tree = stack.enter_context(_cloned(source, bits))
        except OSError as error:
            if error.errno not in _OLD_KERNEL:
                raise
        syscalls.umount(target, syscalls.MNT_DETACH)
        if tree is None:
            bind_in_two_steps(source, target, bits)
        else:
            with mount_points.place(target) as below:
                syscalls.attach_mount(tree, below)


def bind_in_two_steps(source: int, target: str, bits: int) -> None:
    """Bind and remount, the way of old kernels; ``bits`` are MS_* flags, added to those of the source's mount."""
    inherited = os.fstatvfs(source).f_flag & (os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC)
    atime = bits & (syscalls.MS_NOATIME | syscalls.MS_RELATIME | syscalls.MS_STRICTATIME)
    if not atime and os.fstatvfs(source).f_flag & os.ST_NOATIME:
        atime = syscalls.MS_NOATIME
    syscalls.mount(f"/proc/self/fd/{source}", target, None, syscalls.MS_BIND)
    if not bits:
        return
    try:
        syscalls.mount(None, target, None, syscalls.MS_REMOUNT | syscalls.MS_BIND | inherited | atime | bits)
    except OSError:
        syscalls.umount(target, syscalls.MNT_DETACH)
        raise


def unmount(path: str) -> None:
    """Take the topmost mount at ``path`` away: plainly, or lazily if it stays busy. No mount there is fine."""
    for attempt in range(_BUSY_TRIES + 1):
        try:
            syscalls.umount(path, syscalls.MNT_DETACH if attempt == _BUSY_TRIES else 0)
            return
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return
            if error.errno != errno.EBUSY:
                raise
        time.sleep(_BUSY_PAUSE)


def unmount_unused(path: str, within: float) -> None:
    """Take the topmost mount at ``path`` away, plainly: never while somebody has a file of it open. None is fine.

    Raises:
        FailedPrecondition: It stayed busy for ``within`` seconds.
        OSError: What the kernel said.
    """
    end = time.monotonic() + within
    while True:
        try:
            syscalls.umount(path, 0)
            return
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return
            if error.errno != errno.EBUSY:
                raise
        if time.monotonic() >= end:
            raise FailedPrecondition(
                f"{path} is busy: a program of the node has files or directories of it open; find it with "
                f"fuser -vm {path}, end it, then repeat"
            )
        time.sleep(_BUSY_PAUSE)


def unmount_all(path: str, ours: Callable[[Mount], bool], field: str) -> bool:
    """Take every mount at ``path`` away, topmost first; tell whether there was one.

    What others mounted on one of ``ours`` goes with it.

    Raises:
        FailedPrecondition: A mount that is not ``ours``, and lies on none of them, is on top; it stays.
        DriveFault: They do not get fewer.
    """
    for done in range(_STACK_LIMIT):
        table = own_mounts(path)
        top = table.at(path)
        if top is None:
            return done > 0
        if not any(map(ours, table.stack(path))):
            raise FailedPrecondition(
                f"{field}: {top.source} ({top.fs_type}, its {top.root}) is mounted at {path}, not this volume; "
                "unmount it by hand",
                field=field,
            )
        if ours(top):
            unmount(path)
        else:
            lift(top)
    raise DriveFault(f"{path} stays mounted, however often it is unmounted")


def lift(mount: Mount) -> None:
    """Take away, lazily, a mount that others made on one of ours: whoever uses it keeps it until he lets go."""
    about = {"path": mount.path, "source": mount.source, "type": mount.fs_type}
    log.warning("foreign mount on one of ours taken away", extra=about)
    syscalls.umount(mount.path, syscalls.MNT_DETACH)
