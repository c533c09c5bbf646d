"""What a container runtime does for a pod with ``hostUsers: false``: a user namespace, and volumes with mapped ids.

Source: user_namespaces(7); mount_setattr(2), section "ID-mapped mounts"; Kubernetes KEP-127.
"""

import contextlib
import ctypes
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

IDS: Final = 65536
"""Of each pod."""
WITHIN: Final = 30.0
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_CLONE, _CLOEXEC = 1, 0o2000000
_IDMAP: Final = 0x00100000
_FROM_FD: Final = 4
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("namespace", ctypes.c_uint64),
    )


def _call(number: int, *arguments: object) -> int:
    done = int(_LIBC.syscall(number, *arguments))
    if done < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return done


class PodIds:
    """A user namespace whose ids 0 to 65535 are others outside of it."""

    def __init__(self, first: int) -> None:
        """``first``: id outside that is 0 inside."""
        self.first = first
        self._holder = subprocess.Popen(("unshare", "--user", "sleep", "600"))
        self._place = Path("/proc", str(self._holder.pid))
        end = time.monotonic() + WITHIN
        while os.readlink(self._place / "ns/user") == os.readlink("/proc/self/ns/user"):
            if self._holder.poll() is not None or time.monotonic() > end:
                self.close()
                raise OSError("this machine lets nobody have a user namespace")
            time.sleep(0.01)
        for which in ("uid_map", "gid_map"):
            (self._place / which).write_text(f"0 {first} {IDS}")

    def close(self) -> None:
        """Give it up."""
        self._holder.kill()
        self._holder.wait(WITHIN)

    @contextlib.contextmanager
    def mounted(self, source: Path, target: Path) -> Iterator[Path]:
        """Have a volume at ``target`` with its ids mapped, while the block runs."""
        target.mkdir()
        tree = _call(_OPEN_TREE, _AT_FDCWD, os.fsencode(source), _CLONE | _CLOEXEC)
        namespace = os.open(self._place / "ns/user", os.O_RDONLY)
        try:
            wanted = _Attributes(set=_IDMAP, namespace=namespace)
            _call(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, ctypes.byref(wanted), ctypes.sizeof(wanted))
            _call(_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _FROM_FD)
        finally:
            os.close(namespace)
            os.close(tree)
        try:
            yield target
        finally:
            subprocess.run(("umount", target), check=True, timeout=WITHIN)
            target.rmdir()

    def run(self, script: str, user: int, groups: tuple[int, ...]) -> str:
        """Run a shell script as a process of the pod; return what it prints."""
        enter = ("nsenter", "--target", str(self._holder.pid), "--user", "--setuid=0", "--setgid=0")
        ids = (f"--reuid={user}", f"--regid={user}", f"--groups={','.join(map(str, groups))}")
        done = subprocess.run(
            (*enter, "setpriv", *ids, "sh", "-ec", script), capture_output=True, text=True, timeout=WITHIN, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
