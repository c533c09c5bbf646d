"""Runs a program with a root that holds two directories, one of them read-only, and the programs of this system.

    python -m directpv_nodeagent.linux.jail <root> <lock> <read-only> <writable> program [argument…]

The program finds the two as ``/source`` and ``/target``. Whoever may write to the source can replace a directory by a
link at any moment: in here it leads nowhere. The lock is held by whatever the program starts, until the last of it has
ended, so that nobody works on the target beside what was killed and has not gone yet.
"""

import fcntl
import os
import sys
import time
from typing import Final

from directpv_nodeagent.linux import mounts, syscalls

LOCK_SECONDS: Final = 20.0
LOCKED: Final = 75
"""Exit status: somebody else still works on the target. Source: sysexits.h, EX_TEMPFAIL."""
MISSING: Final = 127
"""Exit status: there is no such program."""
_SYSTEM: Final = ("usr", "bin", "sbin", "lib", "lib32", "lib64")
_PAUSE: Final = 0.05


def lock(path: str) -> bool:
    """Take the lock for as long as this process and its children live; tell whether that was possible in time."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    os.set_inheritable(descriptor, True)
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(_PAUSE)
        else:
            return True


def enter(root: str, source: str, target: str) -> None:
    """Make the new root in a mount namespace of our own, and leave everything else behind.

    Args:
        root: An empty directory; what is mounted on it is seen by nobody else.
        source: Shown read-only.
        target: Shown as it is.
    """
    syscalls.unshare_mounts()
    places = [os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW) for path in (source, target)]
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_SLAVE)  # what is unmounted outside goes here, too
    syscalls.mount("directpv", root, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "size=1m,mode=755")
    for name in _SYSTEM:
        _show_system(root, name)
    for name, place, flags in (("source", places[0], {"ro", "nodev", "noexec"}), ("target", places[1], {"noexec"})):
        os.mkdir(f"{root}/{name}")
        mounts.bind(place, f"{root}/{name}", flags)
        os.close(place)
    os.mkdir(f"{root}/old")
    os.chdir(root)
    syscalls.pivot_root(".", "old")
    os.chdir("/")
    syscalls.umount("/old", syscalls.MNT_DETACH)
    os.rmdir("/old")


def _show_system(root: str, name: str) -> None:
    if os.path.islink(f"/{name}"):
        os.symlink(os.readlink(f"/{name}"), f"{root}/{name}")
    elif os.path.isdir(f"/{name}"):
        os.mkdir(f"{root}/{name}")
        descriptor = os.open(f"/{name}", os.O_RDONLY | os.O_DIRECTORY)
        mounts.bind(descriptor, f"{root}/{name}", {"ro"})
        os.close(descriptor)


def main(arguments: list[str]) -> None:
    """Become the program."""
    root, lock_path, source, target, *argv = arguments
    if not lock(lock_path):
        sys.exit(LOCKED)
    enter(root, source, target)
    try:
        os.execvpe(argv[0], argv, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"})  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"{argv[0]} cannot be started: {error.strerror}\n")
        sys.exit(MISSING)


if __name__ == "__main__":
    main(sys.argv[1:])
