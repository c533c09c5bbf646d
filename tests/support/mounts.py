"""Mounts of the tests' own: a mount namespace that only this process and its children see."""

import ctypes
import os
import re
from pathlib import Path
from typing import Final

import pytest

_CLONE_NEWNS: Final = 0x00020000
_MS_REC_PRIVATE: Final = 0x4000 | 0x40000
_MNT_DETACH: Final = 2
_ESCAPE: Final = re.compile(rb"\\([0-7]{3})")
"""How the mount table writes blanks and their like; proc_pid_mountinfo(5)."""


def enter() -> None:
    """Move this thread, and what it starts from now on, to a mount namespace of its own.

    A new namespace is a copy of the old one, with every file system that is mounted there: nobody else could then
    make a drive anew that is unmounted, until the copy goes. So what others have mounted from loop devices is let go
    of at once, and what these tests mount is in no copy that others make.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) or libc.mount(b"none", b"/", None, _MS_REC_PRIVATE, None):
        number = ctypes.get_errno()
        raise OSError(number, f"no mount namespace of our own: {os.strerror(number)}; run these tests as root")
    for target in _on_loop_devices():
        libc.umount2(target, _MNT_DETACH)  # no process for each: others may have thousands


@pytest.fixture(scope="session", autouse=True)
def own_mounts() -> None:
    """Import it in a conftest: what the tests there mount is seen by nobody else."""
    enter()


def _on_loop_devices() -> list[bytes]:
    """Return mount points, the last mount first."""
    entries = [line.split() for line in Path("/proc/self/mounts").read_bytes().splitlines()]
    return [_text(entry[1]) for entry in reversed(entries) if entry[0].startswith(b"/dev/loop")]


def _text(field: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: bytes((int(found[1], 8),)), field)
